"""Slurm's signal before the time limit, so that preStop hooks can run (sbatch(1), --signal)."""

from __future__ import annotations

from collections.abc import Iterator

from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.shell import Call
from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.domain.slurm.job_flags import ENDING_SECONDS, has_pre_stop, minutes_of

_EARLIER_SECONDS = 60  # Slurm sends the signal up to a minute earlier
_LONGEST_SECONDS = 65535


def notice_seconds(pod: Pod, flags: tuple[Flag, ...]) -> int:
    """Return how many seconds before the time limit Slurm signals the job; 0: it sends no signal.

    A --signal among the flags of the pod takes precedence. A deadline before the time limit is the runner's to keep.
    """
    deadline = pod.spec.active_deadline_seconds
    limit = _limit_seconds(flags)
    by_deadline = deadline is not None and limit is not None and limit >= deadline
    if not has_pre_stop(pod) or by_deadline or any(flag.name == "signal" for flag in flags):
        return 0
    return min(pod.spec.termination_grace_period_seconds + ENDING_SECONDS, _LONGEST_SECONDS)


def notice_flags(seconds: int) -> tuple[Flag, ...]:
    """Return the flag: the signal goes to the batch shell only, and the runner forwards it after the hook."""
    return (Flag("signal", f"B:TERM@{seconds}"),) if seconds else ()


def notice_calls(seconds: int) -> tuple[Call, ...]:
    return (("time_limit_notice", f"seconds={seconds}"),) if seconds else ()


def notice_warnings(seconds: int, flags: tuple[Flag, ...]) -> Iterator[str]:
    limit = _limit_seconds(flags)
    if seconds and limit is not None and limit < seconds + _EARLIER_SECONDS + ENDING_SECONDS:
        yield (
            f"the time limit is {limit:.0f} s, and Slurm signals the job {seconds} s before it, or up to a minute "
            "earlier, so that preStop can run: the job may be stopped as soon as it starts. Set a longer --time, or a "
            "--signal"
        )


def _limit_seconds(flags: tuple[Flag, ...]) -> float | None:
    given = next((minutes_of(flag.value or "") for flag in flags if flag.name == "time"), None)
    return None if given is None else given * 60
