"""Mounts of a container, and the paths that runtimes can mount."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from remote_slurm.domain.shell import Call, Hidden
from remote_slurm.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class CheckedSource:
    """A source that another container may replace before it is mounted: job/mounts.sh opens, checks and binds it.

    It is `sub_path` of `source`, inside the folders in `allowed` if there are any. `shown` is `sub_path` as the pod
    writes it.
    """

    source: str | Hidden
    sub_path: str | Hidden
    shown: str
    allowed: tuple[str, ...]

    def words(self) -> Call:
        """The options of job/mounts.sh."""
        allowed = (word for folder in self.allowed for word in ("--allowed", folder))
        return "--mount", self.source, self.sub_path, self.shown, *allowed


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` is absolute (a hostPath) or below the pod's folder; `target` is the path in the container.

    `hidden` is true if the values of variables are in `source`. If there is `checked`, the runtime mounts what
    job/mounts.sh has bound.
    """

    source: str
    target: str
    read_only: bool
    hidden: bool = False
    checked: CheckedSource | None = None


def target_of(path: str) -> str:
    """An absolute path in a container without `..`, as runtimes read it; POSIX lets `//` mean something else."""
    return "/" + posixpath.normpath(path).lstrip("/")


def can_be_bound(path: str) -> bool:
    """Whether the options that mount something can express the path."""
    return not any(character in path for character in ":,\\\n\0")


def refuse_bind_syntax(path: str, what: str, shown: str | None = None) -> None:
    """Raises InvalidRequest, with `shown` in place of a path that may hold the values of variables."""
    if not can_be_bound(path):
        named = (path if shown is None else shown)[:100]
        raise InvalidRequest(
            f"invalid path '{named}' of {what}: must not contain : , \\ or a newline, which --bind interprets"
        )
