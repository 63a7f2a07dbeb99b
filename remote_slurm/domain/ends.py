"""How a container ended, and why: in its own words, the runner's and Slurm's."""

from __future__ import annotations

from remote_slurm.domain.records import KILLED, SIGKILL, STOPPED, Record
from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.domain.view import PodView

_END = {
    JobState.BOOT_FAIL: "the node failed to boot",
    JobState.CANCELLED: "the job was cancelled",
    JobState.DEADLINE: "the job reached its deadline",
    JobState.LAUNCH_FAILED: "the job could not be launched",
    JobState.NODE_FAIL: "a node of the job failed",
    JobState.OUT_OF_MEMORY: "the job ran out of memory",
    JobState.PREEMPTED: "the job was preempted by another one",
    JobState.REVOKED: "the job was revoked by its cluster",
    JobState.TIMEOUT: "the job reached its time limit",
}


def reason_follows(record: Record, view: PodView) -> bool:
    """Whether Slurm is about to tell why the job was stopped: the Virtual Kubelet asks no more after an end.

    Until then it is not even an end, since Slurm may run the job again. A container that was killed may have run out
    of memory.
    """
    if view.settled or view.failure:
        return False
    return record.message.endswith(STOPPED) or was_killed(record)


def end_sentence(job: Job) -> str:
    """How it ended, where it did not end well."""
    return _END.get(job.state, f"the job ended as {job.state.value}")


def end_message(record: Record, view: PodView) -> str:
    """With Slurm's reason behind what the container said itself."""
    job = view.job
    if job is None or job.state not in _END:
        return record.message
    reason = f"{end_sentence(job)} (job {job.id})"
    if was_killed(record):
        return f"{record.message}; {reason}" if record.message else reason
    return record.message.replace(STOPPED, reason)


def was_killed(record: Record) -> bool:
    """By Slurm or the kernel, as far as is known: who kills for a reason of its own, such as the runner, tells it."""
    told = bool(record.reason) if record.number else bool(record.message)
    return record.signal == SIGKILL and not told and not record.message.endswith(STOPPED)


def lost_code(view: PodView) -> int:
    """Of a container whose end nobody has recorded: the job's own, which is the highest of its containers'."""
    if view.job is not None and view.job.state is JobState.COMPLETED:
        return 0
    return (view.job and _own_code(view.job)) or KILLED


def _own_code(job: Job) -> int:
    """How the job itself failed; 0 where something else has ended it, or nobody can tell."""
    return (job.exit_code or 0) if job.state is JobState.FAILED else 0


def lost_message(view: PodView) -> str:
    if view.job is not None and (code := _own_code(view.job)):
        return (
            f"job {view.job.id} ended with exit code {code}, the highest of its containers'; how this one ended was "
            "not recorded"
        )
    if view.job is None or view.job.state is JobState.UNKNOWN:
        return "the job was not found again, neither in the queue nor in the accounting, and left no record"
    reason = end_sentence(view.job)
    recorded = "the container's end was recorded" if view.records else "any container started: its log may say more"
    return f"{reason} (job {view.job.id}) before {recorded}"
