"""Take the fences of pods whose jobs were cancelled without a trace, so that a job that still starts runs nothing."""

from __future__ import annotations

from collections.abc import Iterable

from remote_slurm.site.operation import Operation, lines
from remote_slurm.site.reply import Reply


def operation(pods: Iterable[str]) -> Operation[frozenset[str]]:
    """The pods of which no job will run anything."""
    return Operation("close_fences", _closed, payload=lines(pods))


def _closed(reply: Reply) -> frozenset[str]:
    reply.require("fences")
    return frozenset(reply.all("closed"))
