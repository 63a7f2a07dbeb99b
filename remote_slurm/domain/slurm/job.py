"""A Slurm job, as squeue or sacct prints it."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.domain.job_usage import JobUsage
from remote_slurm.domain.slurm.job_states import JobPhase, JobState


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the queue or the accounting shows it; `pod` is the name of its folder, empty where it is not ours.

    `start` is when it started or is expected to, in seconds since 1970 by the site's clock; None if Slurm has no time.
    `exit_code` is its batch script's, which only accounting has; None if it is unknown, or if a signal ended it.
    `submitted` is when, in seconds since 1970 by the site's clock. `origin` is the command line of sbatch (SubmitLine,
    Slurm 21.08 or later) or else the folder that it ran in, as the accounting shows them. `is_copy`: its script is
    not the one in the pod's folder. `end` is when it ended or will at the latest, like `start`. A job that waits may
    have a list of partitions. `usage` is what the accounting has.
    """

    id: str
    state: JobState
    reason: str = ""
    pod: str = ""
    start: int | None = None
    comment: str = ""
    node: str = ""
    exit_code: int | None = None
    submitted: int | None = None
    origin: str = ""
    is_copy: bool = False
    partition: str = ""
    end: int | None = None
    usage: JobUsage | None = None

    @property
    def waited(self) -> int | None:
        """Seconds from the submission to the start; None while it waits, and if Slurm shows no such times."""
        if self.state.phase not in _STARTED or self.start is None or self.submitted is None:
            return None
        return max(0, self.start - self.submitted)

    @property
    def ran(self) -> int | None:
        """Seconds from the start to the end; None if it has not ended, and if Slurm shows no such times."""
        if self.state.phase is not JobPhase.ENDED or self.start is None or self.end is None:
            return None
        return max(0, self.end - self.start)

    def may_be_of(self, pod: str, submitted: float | None) -> bool:
        """Whether a job with the pod's job id is the pod's: ids are reused, and wrappers submit copies of the script.

        `submitted` is when the pod's job was submitted, by the site's clock; None if that is not known.
        """
        if f"/{pod}/job" in self.origin or self.origin.endswith(f"/{pod}"):
            return True
        if self.submitted is None or submitted is None:
            return False
        return abs(self.submitted - submitted) <= (1 if self.origin else SUBMIT_SECONDS)


_STARTED = (JobPhase.RUNNING, JobPhase.ENDED)
# So far the time that Slurm notes for a submission may be from the time of the call: sbatch waits for a slow slurmctld
# (twice MessageTimeout, at most 200 s), and clocks differ
SUBMIT_SECONDS = 300
