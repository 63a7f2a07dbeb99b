"""ContainerRuntime: none. Commands run on the node itself, without images and mounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from remote_slurm.config import Config, RuntimeConfig
from remote_slurm.domain.plan.container_setup import EncodedVariables, Variables
from remote_slurm.domain.pod.environment import carried_entries, own_entries, shell_lines
from remote_slurm.domain.runtimes.container_start import Command, ContainerStart, Line
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.runtimes.start_words import command_prefix, flat, with_carrier, with_env_words, without_empty
from remote_slurm.errors import InvalidRequest


@dataclass(frozen=True)
class OnNode(Runtime):
    names: ClassVar[tuple[str, ...]] = ("none",)
    starts_containers: ClassVar[bool] = False

    @classmethod
    def configure(cls, config: Config) -> OnNode:
        return cls(RuntimeConfig.from_config(config, default_path=""))

    def encode_variables(self, variables: Variables) -> EncodedVariables:
        values = variables.values
        return EncodedVariables(shell_lines(values), carried_entries(values), own_entries(values))

    def container_command(self, start: ContainerStart) -> Command:
        container = start.container
        if not start.setup.command:
            raise InvalidRequest(
                f"container '{container.name}' has no command: set one, since with ContainerRuntime: none there is no "
                "image that has one"
            )
        command = (*start.setup.command, *start.setup.args)
        lines = with_env_words(start, (self._enter(start), *command_prefix(start), command))
        return without_empty(with_carrier(start, lines, len(lines) - 1))

    def exec_words(self, start: ContainerStart) -> Line:
        lines = with_env_words(start, (self._enter(start), ()))
        return "clone", *flat(with_carrier(start, lines, len(lines) - 1))

    def _enter(self, start: ContainerStart) -> Line:
        return "on_node", start.setup.env_file, start.container.working_dir
