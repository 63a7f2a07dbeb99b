"""How a container ended, and why: the container's own words, then the runner's, then Slurm's."""

from __future__ import annotations

from remote_slurm.domain.records import KILLED, SIGKILL, Reason, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.status.message_size import cut_message
from remote_slurm.domain.status.view import PodView

_END = {
    JobState.BOOT_FAIL: "the node failed to boot",
    JobState.CANCELLED: "the job was cancelled",
    JobState.DEADLINE: "the job reached its deadline",
    JobState.LAUNCH_FAILED: "the job could not be launched",
    JobState.NODE_FAIL: "a node of the job failed",
    JobState.OUT_OF_MEMORY: "the job ran out of memory",
    JobState.PREEMPTED: "the job was preempted by another one",
    JobState.RECONFIG_FAIL: "the node could not be reconfigured for the job",
    JobState.TIMEOUT: "the job reached its time limit",
}
_NO_MEMORY = (
    "the pod has no memory limit, so that the default of the sidecar or the partition applied; set "
    "resources.limits.memory"
)


def reason_follows(record: Record, view: PodView) -> bool:
    """Return whether Slurm will report why the job was stopped. The Virtual Kubelet does not ask again after an end.

    Until then it is not even an end, since Slurm may run the job again. A container that was killed may have run out
    of memory.
    """
    if view.final or view.failure:
        return False
    return record.reason == Reason.JOB_STOPPED or was_killed(record)


def end_sentence(job: Job) -> str:
    """How it ended, where it did not end well."""
    return _END.get(job.state, f"the job ended as {job.state.value}")


def _reason(job: Job, view: PodView) -> str:
    """Return how the job ended, with its id, and what to set if the pod names no memory."""
    reason = f"{end_sentence(job)} (job {job.id})"
    if job.state is JobState.OUT_OF_MEMORY and not view.names_memory:
        return f"{reason}: {_NO_MEMORY}"
    return reason


def end_message(record: Record, view: PodView, size: int) -> str:
    """The message of the record with Slurm's reason behind it, in at most `size` bytes.

    The reason is added whole or, if it would take more than half of them, not at all.
    """
    reason = _slurm_reason(record, view)
    if len(reason.encode()) > size // 2:
        reason = ""
    own = cut_message(record.message, size - len(reason.encode()), keep_end=_ends_with_reason(record))
    return (own + reason) if own else reason.lstrip(";: ")


def _slurm_reason(record: Record, view: PodView) -> str:
    job = view.job
    if job is None or job.state not in _END:
        return ""
    reason = _reason(job, view)
    if record.reason == Reason.JOB_STOPPED:
        return f": {reason}"
    return f"; {reason}" if was_killed(record) else ""


def _ends_with_reason(record: Record) -> bool:
    """Whether the runner has put its own sentence behind the container's words."""
    return record.reason not in ("", Reason.COMPLETED, Reason.ERROR)


def was_killed(record: Record) -> bool:
    """By Slurm or the kernel, as far as is known: the runner gives a reason for what it kills itself."""
    return record.signal == SIGKILL and not record.reason


def unrecorded_exit_code(view: PodView) -> int:
    """Return the exit code of a container whose end was not recorded: the job's, or 137."""
    if view.job is not None and view.job.state is JobState.COMPLETED:
        return 0
    return (view.job and _own_code(view.job)) or KILLED


def _own_code(job: Job) -> int:
    """Return the exit code of the job; 0 if something else ended it, or if the code is unknown."""
    return (job.exit_code or 0) if job.state is JobState.FAILED else 0


def unrecorded_end_message(view: PodView) -> str:
    if view.job is not None and (code := _own_code(view.job)):
        ended = f"job {view.job.id} ended with exit code {code}"
        if not view.records:
            # as for a job whose scripts were purged or changed
            return f"{ended}, the highest of its containers; the end of this container was not recorded: see its log"
        return f"{ended}, the highest of its containers; the end of this container was not recorded"
    if view.job is None or view.job.state.phase is JobPhase.UNKNOWN:
        return "the job is lost: neither squeue nor the accounting lists it, and it has no record"
    if view.job.state is JobState.OUT_OF_MEMORY and not view.names_memory:
        return _reason(view.job, view)
    if view.job.state is JobState.COMPLETED and not view.records:
        # as seen with a full home: the containers ran, and no record of them could be written
        return (
            f"{_reason(view.job, view)}, and no record of a container was written: "
            "check that DataRootFolder is not full or read-only"
        )
    recorded = "the container's end was recorded" if view.records else "any container started: see its log"
    prolog = "" if view.records else _prolog(view.job)
    return f"{_reason(view.job, view)} before {recorded}{prolog}"


def _prolog(job: Job) -> str:
    """Return a hint if a cancelled job had a node: after a failed prolog Slurm gives no reason (seen with 24.11)."""
    if job.state is not JobState.CANCELLED or not job.node:
        return ""
    return (
        f"; Slurm also does so if the prolog of node {job.node} fails (`sinfo -R` shows the reason of a drained node)"
    )
