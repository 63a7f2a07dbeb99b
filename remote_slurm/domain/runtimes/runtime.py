"""The interface of a runtime. One file of this folder has what the job plan knows of one runtime.

The job has more in its part, job/<name>.sh. Three places outside depend on a runtime: `preload` in job/tsocks.sh has a
case for each kind of file of variables, job/rank.sh distinguishes Apptainer from Singularity, and domain/shell.py has
the quoting that Apptainer's own interpreter needs.

::

    Runtime              what a job plan asks of every runtime; on_node.py implements it without containers
    container_runtime.py a runtime that starts containers from images: apptainer.py, podman.py, enroot.py
    registry.py          the values of ContainerRuntime in SlurmConfig.yaml, and their runtimes

A method that returns no words, no calls or no mounts by default is for what most runtimes do not need.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from remote_slurm.config import Config, RuntimeConfig
from remote_slurm.domain.plan.annotation_mounts import AnnotationMount, RuntimeAnnotations
from remote_slurm.domain.plan.annotations import Annotations
from remote_slurm.domain.plan.container_setup import EncodedVariables, Variables
from remote_slurm.domain.plan.mounts import Mount
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.runtimes.container_start import Command, ContainerStart, Line
from remote_slurm.domain.runtimes.images import Image
from remote_slurm.domain.shell import Call


@dataclass(frozen=True)
class Runtime(ABC):
    """How the containers of pods run on a node. Each method may raise InvalidRequest."""

    config: RuntimeConfig

    names: ClassVar[tuple[str, ...]]
    """Values of ContainerRuntime that select this runtime."""
    annotations: ClassVar[RuntimeAnnotations | None] = None
    """The annotations of pods that are for this runtime."""
    starts_containers: ClassVar[bool] = True
    """Whether it starts containers from images, with mounts and a host name of their own."""
    image_suffix: ClassVar[str] = ""
    """Suffix of file names in the image cache."""
    has_node_shared_memory: ClassVar[bool] = False
    """Whether containers see the node's /dev/shm, unless something else is mounted there."""
    has_node_time_zone: ClassVar[bool] = False
    """Whether containers see the node's /etc/localtime, unless something else is mounted there."""
    passes_gpu_variables: ClassVar[bool] = False
    """Whether job/gpus.sh has to pass the variables that select GPUs on to containers."""
    user_namespaces_hint: ClassVar[str] = ""
    """What to do if the account cannot create user namespaces on the node; empty if the runtime needs none."""

    shell_part: ClassVar[str] = ""
    """Name of the part in job/ with the runtime's own shell functions, or empty: see runtime_hook in job/runner.sh."""

    @classmethod
    def configure(cls, config: Config) -> Self:
        """Return the runtime as the configuration describes it."""
        return cls(RuntimeConfig.from_config(config, default_path=config.container_runtime))

    def annotation_mounts(self, annotations: Annotations) -> tuple[AnnotationMount, ...]:
        """Return the mounts that the pod's annotation for this runtime sets."""
        return annotations.mounts.get(self.annotations.name, ()) if self.annotations else ()

    @abstractmethod
    def encode_variables(self, variables: Variables) -> EncodedVariables:
        """Return a container's variables as files, and as words of `env` in the container."""

    @abstractmethod
    def container_command(self, start: ContainerStart) -> Command:
        """Return the words that the runner executes, in lines for the reader."""

    @abstractmethod
    def exec_words(self, start: ContainerStart) -> Line:
        """Return the mode of job/exec_in_container.sh, and the words in front of a command in the container."""

    def checks_mounts(self, start: ContainerStart) -> bool:
        """Return whether job/mounts.sh starts the container."""
        return False

    def use_calls(self) -> tuple[Call, ...]:
        """Return the runner's call by which its part takes over what the runtime does in its own way."""
        return ((f"use_{self.shell_part}",),) if self.shell_part else ()

    def storage_calls(self) -> tuple[Call, ...]:
        """Return the runner's calls that prepare the runtime's storage before any container starts."""
        return ()

    def unpack_call(self, container: str, image: Image) -> Call:
        """Return the runner's call that unpacks a pulled image for one container; empty if images are used directly."""
        return ()

    def ipc_calls(self) -> tuple[Call, ...]:
        """Return the runner's calls that create the IPC namespace of a pod."""
        return ()

    def image_config_calls(self, start: ContainerStart) -> tuple[Call, ...]:
        """Return the runner's calls that apply what the image defines and the runtime ignores: job/image_config.sh."""
        return ()

    def working_dir_call(self, start: ContainerStart) -> Call:
        """Return the runner's call that creates a workingDir which the image does not have: job/working_dirs.sh."""
        return ()

    def message_mounts(self, container: Container) -> tuple[Mount, ...]:
        """Return the mounts with which the container reaches its terminationMessagePath; empty if it cannot."""
        return ()

    def message_files(self, container: Container) -> tuple[File, ...]:
        """Return the files that message_mounts needs besides the message itself."""
        return ()

    def cache_settings(self) -> str:
        """Return shell that keeps the runtime's own files in "$cache" and "$temporary", not in the home directory."""
        return ""

    def pull_command(self, image: Image) -> Line:
        """Return the words with which pull.sh pulls an image; `@` is replaced by the file to write."""
        return ()

    def login_files(self, user: str, password: str, host: str) -> Mapping[str, str]:
        """Return files by the suffixes of their names; the one without a suffix is shell that pull.sh reads."""
        return {}

    def remove_command(self) -> Line:
        """Return the function that removes files with other ids than the account's, and the program that it uses.

        The function is in REMOVAL of job/; empty if containers create no such files.
        """
        return ()
