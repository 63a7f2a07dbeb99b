"""Kubernetes Events of a pod: one for each step of its job, in the words of its summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.slurm.pending_reasons import reason_word
from remote_slurm.domain.status.container_ends import end_sentence, unrecorded_end_message
from remote_slurm.domain.status.pod_summary import PodPhase, PodSummary, pending_message
from remote_slurm.domain.status.pod_usage import pod_usage


@dataclass(frozen=True, slots=True)
class PodEvent:
    """One Event. `reason` is a word in CamelCase; an Event with the `key` of an earlier one is not sent again."""

    key: str
    reason: str
    message: str
    is_warning: bool = False


def pod_events(summary: PodSummary) -> list[PodEvent]:
    """All Events of a pod up to now, the oldest first."""
    view, job = summary.view, summary.view.job
    if view.failure:
        return [PodEvent("failure", "NotSubmitted", view.failure, is_warning=True)]
    if job is None or not view.is_known:
        return []
    events = [PodEvent("submitted", "Submitted", f"submitted to Slurm as job {job.id}")]
    if view.runs:
        requeued = f"Slurm has requeued job {job.id}"
        events.append(PodEvent(f"requeued {view.runs}", "Requeued", requeued, is_warning=True))
    latest = _latest(job, summary)
    return [*events, *([latest] if latest else []), *_usage(summary)]


def _usage(summary: PodSummary) -> Iterator[PodEvent]:
    """One Event after the end, when no further value will come: its message must not change."""
    if not summary.view.usage_is_settled:
        return
    used = pod_usage(summary.view)
    if used.is_known:
        yield PodEvent(f"usage {summary.view.runs}", "Usage", "; ".join(filter(None, (used.sentence, used.hint))))


def _latest(job: Job, summary: PodSummary) -> PodEvent | None:
    if job.state.phase is JobPhase.ENDED or summary.is_over:
        return _end(job, summary)
    if job.state.phase is JobPhase.WAITING:
        # a forecast changes with each poll: only the first one is an Event
        key = f"pending {job.reason} {'forecast' if job.start else ''}"
        return PodEvent(key, "Pending", pending_message(job)) if reason_word(job) else None
    if job.state is JobState.SUSPENDED:
        return PodEvent("suspended", "Suspended", f"Slurm has suspended job {job.id}", is_warning=True)
    if job.state.phase is JobPhase.RUNNING:
        where = f" on {summary.node}" if summary.node else ""
        return PodEvent("started", "Started", f"job {job.id} started{where}")
    return None


def _end(job: Job, summary: PodSummary) -> PodEvent | None:
    """An end that is not final yet is an Event only if something else than the pod ended the job."""
    key, failed = f"ended {summary.view.runs}", summary.phase is PodPhase.FAILED
    if job.state is JobState.UNKNOWN and failed:
        return PodEvent(key, "Lost", summary.reason or unrecorded_end_message(summary.view), is_warning=True)
    if job.state.phase is not JobPhase.ENDED or job.state is JobState.COMPLETED:
        if summary.phase is PodPhase.ENDING and not summary.view.being_deleted:
            return None
        if failed:
            return PodEvent(key, "Failed", f"job {job.id} has ended: {summary.reason}", is_warning=True)
        return PodEvent(key, "Completed", f"job {job.id} has ended")
    reason = "".join(word.capitalize() for word in job.state.value.split("_"))
    expected = summary.phase is PodPhase.SUCCEEDED or summary.view.being_deleted
    return PodEvent(key, reason, f"{end_sentence(job)} (job {job.id})", is_warning=not expected)
