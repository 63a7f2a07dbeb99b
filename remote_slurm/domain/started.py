"""What starting one container takes, and what a container runtime has to know how to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from remote_slurm.domain.annotations import Annotations
from remote_slurm.domain.images import Image
from remote_slurm.domain.pod import Container
from remote_slurm.domain.preparing import Prepared, Variables
from remote_slurm.domain.shell import Word
from remote_slurm.domain.volumes import Call, Mount

Line = tuple[Word, ...]
Command = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Started:
    """All that starting one container takes: its parts of the pod's folder are named relative to it.

    `pod` is the name of that folder.
    """

    pod: str
    prepared: Prepared
    annotations: Annotations
    image: Image

    @property
    def container(self) -> Container:
        return self.prepared.container

    @property
    def mpi_flags(self) -> tuple[str, ...] | None:
        """Init containers prepare things once, not once for each rank."""
        return None if self.prepared.init else self.annotations.mpi_flags


class Runtime(Protocol):
    """A table of words: how one container runtime says each thing. Every entry may raise Rejected."""

    @property
    def suffix(self) -> str:
        """How the name of an image in the cache ends."""

    @property
    def inside(self) -> bool:
        """Whether variables that no shell can hold are words of `env` in the container, or in front of the runtime."""

    @property
    def places(self) -> str:
        """Shell that keeps the runtime's own files in "$cache" and "$temporary", off a home directory's quota."""

    def variables(self, variables: Variables) -> tuple[bytes, bytes]:
        """The file that `environment` names, and one of NUL-ended NAME=VALUE for what that cannot hold."""

    def before(self) -> tuple[Call, ...]:
        """What the runner does before any container starts."""

    def unpacking(self, container: str, image: Image) -> Call:
        """What it makes of a container's image once that is there; nothing, where images are used as they are."""

    def opening(self, start: Started) -> Command:
        """The program and what it is to do, with what is always said."""

    def gpu(self, vendor: str) -> Line:
        """`vendor` is as in the name of a resource, `nvidia.com/`, or empty."""

    def annotated(self, annotations: Annotations) -> Line:
        """What the pod says in this runtime's own words."""

    def folders(self, start: Started) -> Line:
        """Where the container writes what is in no volume."""

    def working_directory(self, start: Started) -> Line: ...

    def environment(self, start: Started) -> Command:
        """How the variables get in; their values stand in no argument."""

    def bind(self, mount: Mount) -> Line: ...

    def image(self, start: Started) -> Line: ...

    def command(self, start: Started) -> Line:
        """What runs inside; the image's own where the container names nothing."""

    def entering(self, start: Started) -> Line:
        """What a command stands behind to run in a container that is running; nothing, where its namespaces do."""

    def message(self, container: Container, file: str) -> tuple[Mount, ...]:
        """How the container gets at its terminationMessagePath, which is `file`; nothing, where it cannot."""

    def pull(self, image: Image) -> Line:
        """How pull.sh brings an image into the cache; `@` stands for the file to write."""

    def login(self, user: str, password: str, host: str) -> Mapping[str, str]:
        """Files, by the endings of their names; the one without is shell that pull.sh reads before it pulls."""
