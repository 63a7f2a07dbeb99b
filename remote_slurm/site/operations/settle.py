"""Read the records and the fences of some pods, whose jobs have ended or are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from remote_slurm.domain.records import Record, parse_records
from remote_slurm.site.operation import Operation, lines
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class Settled:
    """The records in the pods' folders, and the ids of the jobs in their fences by pod."""

    records: tuple[Record, ...]
    claims: Mapping[str, str] = field(default_factory=dict)


def operation(pods: Iterable[str]) -> Operation[Settled]:
    """Read the folders and fences of `pods`."""
    return Operation("settle", _settled, payload=lines(pods))


def _settled(reply: Reply) -> Settled:
    reply.require("settled")
    claims = (line.partition(" ") for line in reply.all("claim"))
    ids = {pod: job_id for pod, _, job_id in claims if job_id.isdigit()}
    return Settled(tuple(parse_records(reply.messages)), ids)
