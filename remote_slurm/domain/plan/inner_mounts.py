"""Mounts inside of other mounts of a container, such as a ConfigMap at a path below an emptyDir.

A container writes into its volumes, so the path from the outer mount to the inner one can lead through a link that
another container has put there. A runtime that makes mount points by their names on the node follows such a link out of
the volume. Then job/mounts.sh mounts the inner one, and the runtime gets the outer one with all that is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from remote_slurm.domain.plan.mounts import CheckedSource, Mount, target_of
from remote_slurm.domain.shell import Call, Hidden


@dataclass(frozen=True, slots=True)
class InnerMount:
    """Mount `number` belongs on `path` below mount `into`."""

    number: int
    into: int
    path: str
    mount: Mount

    def words(self) -> Call:
        """The option of job/mounts.sh."""
        mode = "ro" if self.mount.read_only else "rw"
        return "--inner", str(self.number), str(self.into), self.path, self.mount.target, mode


@dataclass(frozen=True, slots=True)
class StagedMounts:
    """The mounts of one container: `named` are for the runtime, the others for job/mounts.sh.

    `inner` has the deepest mounts first: a mount takes along what is mounted in it.
    """

    named: tuple[Mount, ...]
    checked: tuple[CheckedSource, ...] = ()
    inner: tuple[InnerMount, ...] = ()


def stage_mounts(mounts: Iterable[Mount], container: str, *, follows_links: bool) -> StagedMounts:
    """Return what job/mounts.sh binds for a container, and what its runtime mounts.

    `follows_links`: whether the runtime follows links of a volume when it makes a mount point there.
    """
    every = tuple(mounts)
    targets = [target_of(mount.target) for mount in every]
    outer = dict(_outer_mounts(targets)) if follows_links else {}
    staged = [i for i, each in enumerate(every) if each.checked or i in outer or i in outer.values()]
    numbers = {index: number for number, index in enumerate(staged)}
    inner = [
        InnerMount(numbers[i], numbers[into], targets[i][len(targets[into]) + 1 :], every[i])
        for i, into in outer.items()
    ]
    return StagedMounts(
        tuple(_bound(each, container, numbers.get(i)) for i, each in enumerate(every) if i not in outer),
        tuple(every[i].checked or _unchanged(every[i]) for i in staged),
        tuple(sorted(inner, key=lambda each: -target_of(each.mount.target).count("/"))),
    )


def _outer_mounts(targets: list[str]) -> Iterator[tuple[int, int]]:
    """Return the number of each mount inside another one, and of the nearest one around it."""
    numbers = {target: number for number, target in enumerate(targets) if target != "/"}
    for number, target in enumerate(targets):
        outer = next((above for above in _folders_above(target) if above in numbers), None)
        if outer is not None:
            yield number, numbers[outer]


def _folders_above(path: str) -> Iterator[str]:
    """Yield the nearest one first."""
    while path := path.rpartition("/")[0]:
        yield path


def _bound(mount: Mount, container: str, number: int | None) -> Mount:
    if number is None:
        return mount
    return replace(mount, source=f".runner/mounts/{container}/{number}", hidden=False)


def _unchanged(mount: Mount) -> CheckedSource:
    """A source that no container can replace."""
    return CheckedSource(Hidden(mount.source) if mount.hidden else mount.source, "", "", ())
