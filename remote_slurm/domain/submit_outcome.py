"""What became of a submission: the pod has a job, will have one later, or will have none."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.domain.runtimes.images import PullFailure
from remote_slurm.domain.slurm.refusals import Refusal, classify_refusal
from remote_slurm.domain.slurm.sbatch_messages import sbatch_message


@dataclass(frozen=True, slots=True)
class Submitted:
    """The pod has this job."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Attempted:
    """sbatch was called, and its job id is not known yet: ask again, or look for the job.

    `words` is what sbatch printed instead of an id, if this call received it.
    """

    words: str = ""


@dataclass(frozen=True, slots=True)
class SbatchFailed:
    """sbatch failed. `refusal` decides what happens to the pod; `words` are only shown.

    If it was called for an array of several `pods`, a refusal says nothing of a single one.
    """

    refusal: Refusal
    words: str
    pods: int = 1

    @classmethod
    def from_stderr(cls, stderr: str, pods: int = 1) -> SbatchFailed:
        """Classify what sbatch printed: its exit code is the same for all failures."""
        words = sbatch_message(stderr)
        return cls(classify_refusal(words), words, pods)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The pod was deleted before. No job was submitted."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The pod's files are at the site. sbatch was not called before the deadline: ask again."""


@dataclass(frozen=True, slots=True)
class Pulling:
    """The pod's files are at the site. `image` is being pulled; after a `failure`, the pull is retried."""

    image: str = ""
    failure: PullFailure | None = None


@dataclass(frozen=True, slots=True)
class Unpullable:
    """An image of the pod cannot be pulled. The pull is not retried."""

    failure: PullFailure


SubmitOutcome = Submitted | Attempted | SbatchFailed | Deleted | Stored | Pulling | Unpullable
