"""Give up a submission of unknown outcome: take the pod's fence, so that a job that still starts runs nothing."""

from __future__ import annotations

from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


def operation(pod: str) -> Operation[str]:
    """The id of the job that took the fence before; empty if no job will ever take it."""
    return Operation("abandon", _job_id, {"pod": pod})


def _job_id(reply: Reply) -> str:
    if reply.get("submitted"):
        return reply.get("submitted")
    reply.require("void")
    return ""
