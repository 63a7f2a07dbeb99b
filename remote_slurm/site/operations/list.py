"""List all pods at the site, as their folders describe them. Only people ask for it, seldom."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from remote_slurm.domain.records import Record, parse_records
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class Listed:
    """One pod: its folder, its namespace/name, its containers in order, and its job id if it has one.

    `age` is the time since sbatch returned, in seconds by the site's clock; None if there was no submission.
    """

    pod: str
    name: str
    grace_seconds: int
    init_containers: tuple[str, ...]
    containers: tuple[str, ...]
    job_id: str
    age: int | None
    records: tuple[Record, ...]
    labels: Mapping[str, str] = field(default_factory=dict)


def operation() -> Operation[list[Listed]]:
    """All pods that have a folder."""
    return Operation("list", _listed, seconds=60)


def _listed(reply: Reply) -> list[Listed]:
    now = int(reply.require("listed"))
    ids = dict(_pairs(reply.all("id")))
    grace = dict(_pairs(reply.all("grace")))
    submitted = {pod: float(seconds) for pod, seconds in _pairs(reply.all("submitted"))}
    init, containers = _grouped(_pairs(reply.all("init"))), _grouped(_pairs(reply.all("container")))
    labels = {pod: parse_labels(text) for pod, text in _pairs(reply.all("labels"))}
    records: dict[str, list[Record]] = {}
    for record in parse_records(reply.messages):
        records.setdefault(record.pod, []).append(record)
    return [
        Listed(
            pod=pod,
            name=name,
            grace_seconds=int(grace.get(pod, "30")),
            init_containers=init.get(pod, ()),
            containers=containers.get(pod, ()),
            job_id=ids.get(pod, ""),
            age=max(0, int(now - submitted[pod])) if pod in submitted and pod in ids else None,
            records=tuple(records.get(pod, ())),
            labels=labels.get(pod, {}),
        )
        for pod, name in _pairs(reply.all("name"))
    ]


def parse_labels(text: str) -> dict[str, str]:
    """The labels of a pod; none if the line has been changed by hand."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _pairs(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        path, _, value = line.partition(" ")
        yield path.removeprefix("./"), value


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """The names by pod."""
    groups: dict[str, tuple[str, ...]] = {}
    for pod, name in pairs:
        groups[pod] = (*groups.get(pod, ()), name)
    return groups
