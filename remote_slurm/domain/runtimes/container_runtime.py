"""A runtime that starts containers from images: the command line of a container, part by part."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from remote_slurm.domain.plan.annotations import Annotations
from remote_slurm.domain.plan.hidden_words import hide_values
from remote_slurm.domain.plan.inner_mounts import StagedMounts, stage_mounts
from remote_slurm.domain.plan.mounts import Mount, target_of
from remote_slurm.domain.pod.resources import gpu_vendor
from remote_slurm.domain.runtimes.container_start import Command, ContainerStart, Line
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.runtimes.start_words import command_prefix, flat, with_carrier, with_env_words, without_empty
from remote_slurm.domain.shell import Hidden, Program
from remote_slurm.errors import InvalidRequest


@dataclass(frozen=True)
class ContainerRuntime(Runtime):
    """A runtime that starts containers from images: its command line, part by part, in the order of the methods."""

    follows_links: ClassVar[bool] = True
    """Whether it follows links in a volume when it creates a mount point there."""
    reserved_paths: ClassVar[frozenset[str]] = frozenset()
    """Paths in containers that have the runtime's own files; nothing can be mounted in their place."""
    kept_variables: ClassVar[str] = ""
    """Regular expression for variables of the node that the runtime itself needs, if it passes all others on.

    Empty: the runtime passes on only the variables that its options name.
    """

    @property
    def program(self) -> Line:
        """The words that every command of the runtime begins with."""
        return (*self.config.prefix, self.config.path)

    @property
    def mount_namespace(self) -> Line:
        """Options of job/mounts.sh that enter the mount namespace from which the runtime starts containers."""
        return ()

    @abstractmethod
    def start_command(self, start: ContainerStart) -> Command:
        """Return the program, its subcommand, and the options that every container has."""

    def gpu_options(self, vendor: str) -> Line:
        """Return the options for GPUs. `vendor` is the prefix of the resource, such as `nvidia.com/`, or empty."""
        return ()

    def scratch_options(self, start: ContainerStart) -> Line:
        """Return the options for the folder of files that are in no volume."""
        return ()

    def hostname_options(self, start: ContainerStart) -> Line:
        """Return the options for the host name. Ranks of an MPI program keep the node's to find shared memory."""
        return ()

    def working_dir_options(self, start: ContainerStart) -> Line:
        return ()

    def annotation_options(self, annotations: Annotations) -> Line:
        """Return the options that the pod's annotation sets for this runtime."""
        return annotations.options.get(self.annotations.name, ()) if self.annotations else ()

    @abstractmethod
    def environment_options(self, start: ContainerStart) -> Command:
        """Return the options for variables; no value is in an argument."""

    @abstractmethod
    def mount_options(self, mount: Mount) -> Line: ...

    @abstractmethod
    def image_argument(self, start: ContainerStart) -> Line: ...

    def command_arguments(self, start: ContainerStart) -> Line:
        """Return the command in the container; empty: the image's own."""
        return (*start.setup.command, *start.setup.args)

    def exec_command(self, start: ContainerStart) -> Line:
        """Return the words that run a command in a running container; empty if job/exec_in_container.sh joins it."""
        return ()

    def checks_mounts(self, start: ContainerStart) -> bool:
        return bool(self._staged_mounts(start).checked)

    def container_command(self, start: ContainerStart) -> Command:
        prefix = command_prefix(start)
        staged = self._staged_mounts(start)
        lines = (*prefix, *with_env_words(start, self._lines(start, staged)))
        index = len(prefix) + self._program_index(start, staged)
        return without_empty(with_carrier(start, lines, index, self.kept_variables))

    def exec_words(self, start: ContainerStart) -> Line:
        """Enter the running container, or start another one from its image with an empty command line."""
        if words := self.exec_command(start):
            return "runtime", *words
        container = start.container.model_copy(update={"command": ("",)})
        setup = replace(start.setup, container=container, command=("",), init=True)
        start = replace(start, setup=setup)
        staged = self._staged_mounts(start)
        *lines, _ = self._lines(start, staged)
        carried = with_env_words(start, (*lines, ()))
        return "nsenter", *flat(with_carrier(start, carried, self._program_index(start, staged), self.kept_variables))

    def _lines(self, start: ContainerStart, staged: StagedMounts) -> Command:
        *before, opening = self.start_command(start)
        return (
            *before,
            *self._mount_checks(start, staged),
            (*opening, *self.gpu_options(gpu_vendor(start.container))),
            self.scratch_options(start),
            self.hostname_options(start),
            self.working_dir_options(start),
            hide_values(
                self.annotation_options(start.annotations)
            ),  # of two words for one option, the later one counts
            *self.environment_options(start),
            *(self._mount(mount) for mount in staged.named),
            self.image_argument(start),
            self.command_arguments(start),
        )

    def _program_index(self, start: ContainerStart, staged: StagedMounts) -> int:
        """Return the index of the line that begins with the runtime itself."""
        return len(self.start_command(start)) - 1 + len(self._mount_checks(start, staged))

    def _mount(self, mount: Mount) -> Line:
        line = self.mount_options(mount)
        return tuple(Hidden(word) if isinstance(word, str) else word for word in line) if mount.hidden else line

    def _mount_checks(self, start: ContainerStart, staged: StagedMounts) -> Command:
        """Return the program that checks what other containers could replace, and then becomes the runtime."""
        if not staged.checked:
            return ()
        program = (self.config.bash_path, Program("mounts.sh"), *self.mount_namespace, start.container.name)
        return (
            program,
            *(each.words() for each in staged.checked),
            *(each.words() for each in staged.inner),
            ("--",),
        )

    def _staged_mounts(self, start: ContainerStart) -> StagedMounts:
        mounts = (*start.setup.mounts, *self.message_mounts(start.container))
        for mount in mounts:
            if target_of(mount.target) in self.reserved_paths:
                raise InvalidRequest(
                    f"invalid mountPath '{mount.target}': {self.config.name} has its own files there; use another path"
                )
        return stage_mounts(mounts, start.container.name, follows_links=self.follows_links)
