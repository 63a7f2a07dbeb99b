"""What Kubernetes is told of a pod as an Event: each turn of its job once, in the words of its status."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.domain.ends import end_sentence
from remote_slurm.domain.slurm import Job, JobState, Phase
from remote_slurm.domain.status import pending_message
from remote_slurm.domain.view import PodView


@dataclass(frozen=True, slots=True)
class Bulletin:
    """One turn. `reason` is a word in CamelCase; `key` tells turns apart: what has one key is said once."""

    key: str
    reason: str
    message: str
    is_warning: bool = False


def bulletins(view: PodView) -> list[Bulletin]:
    """Everything that is to be said of a pod that stands like this, the oldest first."""
    if view.failure:
        return [Bulletin("failure", "NotSubmitted", view.failure, is_warning=True)]
    job = view.job
    if job is None or job.state is JobState.UNKNOWN:
        return []
    found = [Bulletin("submitted", "Submitted", f"submitted to Slurm as job {job.id}")]
    if view.runs:
        found.append(Bulletin(f"requeued {view.runs}", "Requeued", f"Slurm has requeued job {job.id}", is_warning=True))
    turn = _turn(job)
    return [*found, turn] if turn else found


def _turn(job: Job) -> Bulletin | None:
    if job.state.phase is Phase.WAITING:
        # a forecast changes all the time, and is news once
        key = f"pending {job.reason} {'forecast' if job.start else ''}"
        return Bulletin(key, "Pending", pending_message(job)) if job.reason not in ("", "None") else None
    if job.state is JobState.SUSPENDED:
        return Bulletin("suspended", "Suspended", f"Slurm has suspended job {job.id}", is_warning=True)
    if job.state.phase is Phase.RUNNING:
        where = f" on node {job.node}" if job.node else ""
        return Bulletin("started", "Started", f"job {job.id} has started{where}")
    if job.state is JobState.COMPLETED:
        return Bulletin("ended", "Completed", f"job {job.id} has ended")
    reason = "".join(word.capitalize() for word in job.state.value.split("_"))
    return Bulletin("ended", reason, f"{end_sentence(job)} (job {job.id})", is_warning=True)
