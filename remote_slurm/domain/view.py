"""What is known of a pod, from Slurm and from its records: what its status and its Events are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remote_slurm.domain.records import Record
from remote_slurm.domain.slurm import Job, JobState

# Why a pod waits that has no job yet, as long as nothing else is known
SUBMITTING = "Submitting"


@dataclass(frozen=True, slots=True)
class PodView:
    """What is known of a pod. `settled`: its records were read after its job had ended, so no more will come.

    `failure` says why there is no job and will be none; with it, everything is over. `waiting` and `waiting_reason` say
    why there is none yet. `runs` of the job were before this one, since Slurm requeued it, and left records: `before`.
    """

    job: Job | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    settled: bool = False
    failure: str = ""
    waiting: str = ""
    runs: int = 0
    waiting_reason: str = SUBMITTING
    before: Mapping[str, Record] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether there is anything to say: of a job that only the Virtual Kubelet remembers there is not, yet."""
        unknown = self.job is not None and self.job.state is JobState.UNKNOWN
        return not unknown or self.settled or bool(self.failure) or bool(self.records)

    @property
    def job_id(self) -> str:
        return self.job.id if self.job else ""
