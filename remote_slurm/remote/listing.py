"""The pods at the site as their folders tell them: for people, who ask seldom and want to see all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from remote_slurm.domain.records import Record, parse_records
from remote_slurm.remote.site import Site


@dataclass(frozen=True, slots=True)
class Listed:
    """One pod: its folder, its namespace/name, its containers in order, and its job where it has one.

    `age` is in seconds since the submission by the site's own clock; None where there was none.
    """

    pod: str
    name: str
    grace_seconds: int
    init_containers: tuple[str, ...]
    containers: tuple[str, ...]
    job_id: str
    age: int | None
    records: tuple[Record, ...]


async def listing(site: Site) -> list[Listed]:
    """All of them, in one round trip. Raises SiteError."""
    answer = await site.look("list", seconds=60)
    now = int(answer.require("listed"))
    ids = dict(_pairs(answer.all("id")))
    grace = dict(_pairs(answer.all("grace")))
    submitted = {pod: float(seconds) for pod, seconds in _pairs(answer.all("submitted"))}
    init, containers = _grouped(_pairs(answer.all("init"))), _grouped(_pairs(answer.all("container")))
    records: dict[str, list[Record]] = {}
    for record in parse_records(answer.messages):
        records.setdefault(record.pod, []).append(record)
    return [
        Listed(
            pod=pod,
            name=name,
            grace_seconds=int(grace.get(pod, "30")),
            init_containers=init.get(pod, ()),
            containers=containers.get(pod, ()),
            job_id=ids.get(pod, ""),
            age=max(0, int(now - submitted[pod])) if pod in submitted else None,
            records=tuple(records.get(pod, ())),
        )
        for pod, name in _pairs(answer.all("name"))
    ]


def _pairs(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        path, _, value = line.partition(" ")
        yield path.removeprefix("./"), value


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """By pod, each name once: a script in a pod's own arguments may look like a call of the runner."""
    groups: dict[str, tuple[str, ...]] = {}
    for pod, name in pairs:
        if name not in groups.get(pod, ()):
            groups[pod] = (*groups.get(pod, ()), name)
    return groups
