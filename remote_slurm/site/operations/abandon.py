"""Give up the search for a job of unknown outcome: take the fence, so that a job that still starts runs nothing."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.slurm.sacct import submissions_command
from remote_slurm.domain.slurm.squeue import active_command
from remote_slurm.errors import RemoteFailed
from remote_slurm.site.operation import Operation, script_text
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class Abandoned:
    """`job_id` is the job that took the fence before, or was found; empty if no job will ever run the pod.

    `may_submit_again`: nothing keeps the pod from getting another job.
    """

    job_id: str = ""
    may_submit_again: bool = False


def operation(config: Config, pod: str) -> Operation[Abandoned]:
    """Decide for the pod, or for all pods of its array.

    Raises SlurmFailed if squeue fails for an array, and RemoteFailed if the fence cannot be taken.
    """
    values = {
        "pod": pod,
        "squeue": active_command(config.squeue_path),
        "sacct": submissions_command("sacct"),
    }
    return Operation("abandon", _abandoned, values, seconds=60, prelude=script_text("attempts"))


def _abandoned(reply: Reply) -> Abandoned:
    if reply.has("queue"):
        reply.require_success("queue", "squeue")
    if reply.get("submitted"):
        return Abandoned(reply.get("submitted"))
    if reply.has("again"):
        return Abandoned(may_submit_again=True)
    if reply.has("fenced"):
        raise RemoteFailed(
            f"the fence of the pod in .remote-slurm cannot be taken: it holds {reply.get('fenced')!r}, no job's id. "
            "Check that DataRootFolder can be written"
        )
    reply.require("void")
    return Abandoned()
