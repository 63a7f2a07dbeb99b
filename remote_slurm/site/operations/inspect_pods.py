"""Read the records and the fences of some pods, whose jobs have ended or are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from remote_slurm.domain.records import Record, parse_records
from remote_slurm.domain.slurm.job_ids import is_job_id
from remote_slurm.site.operation import Operation, lines
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class Inspection:
    """The records in the pods' folders, and the ids of the jobs in their fences by pod."""

    records: tuple[Record, ...]
    fences: Mapping[str, str] = field(default_factory=dict)


def operation(pods: Iterable[str]) -> Operation[Inspection]:
    """Read the folders and fences of `pods`."""
    return Operation("inspect_pods", _inspection, payload=lines(pods), metric="settle")


def _inspection(reply: Reply) -> Inspection:
    reply.require("inspected")
    fences = (line.partition(" ") for line in reply.all("fence"))
    ids = {pod: job_id for pod, _, job_id in fences if is_job_id(job_id)}
    return Inspection(tuple(parse_records(reply.messages)), ids)
