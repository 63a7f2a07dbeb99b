"""All that starting one container takes."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.domain.plan.annotations import Annotations
from remote_slurm.domain.plan.container_setup import ContainerSetup
from remote_slurm.domain.plan.run_as_user import ContainerUser
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.runtimes.images import Image
from remote_slurm.domain.shell import Word

Line = tuple[Word, ...]
Command = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class ContainerStart:
    """What a runtime needs to start one container. Paths of its files are relative to the pod's folder.

    `pod` is the name of that folder, and `hostname` the host name in the container. `shares_memory` is true if the
    containers of the pod share /dev/shm and an IPC namespace. `user` has the ids that the container requests.
    """

    pod: str
    hostname: str
    shares_memory: bool
    user: ContainerUser | None
    setup: ContainerSetup
    annotations: Annotations
    image: Image

    @property
    def container(self) -> Container:
        return self.setup.container

    @property
    def is_read_only(self) -> bool:
        """Whether only volumes and /dev/shm are writable."""
        return self.container.security_context.read_only_root_filesystem

    @property
    def mpi_flags(self) -> tuple[str, ...] | None:
        """Options of mpiexec, or None. An init container runs once, not once for each rank."""
        return None if self.setup.init else self.annotations.mpi_flags
