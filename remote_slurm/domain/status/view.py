"""What is known of a pod, from Slurm and from its records. `PodSummary` derives the pod's state from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from remote_slurm.domain.job_usage import JobUsage
from remote_slurm.domain.records import Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase

# Why a pod waits that has no job yet, as long as nothing else is known
SUBMITTING = "Submitting"


@dataclass(frozen=True, slots=True)
class PodView:
    """What is known of a pod. `final`: its records were read after its job had ended, so no more will come.

    `failure` says why there is no job and will be none; with it, the pod is over. `waiting` and `waiting_reason` say
    why there is none yet. `runs` of the job were before this one, since Slurm requeued it; their last records are
    `previous_records`. `names_memory`: the pod has a memory limit or request, or a memory option among its flags.
    `container_names`: the containers that a status reports, in the pod's order; empty until a request listed them.
    `being_deleted`: a delete was accepted, and the pod is still at the site.
    `unlisted`: the last squeue did not list the job.
    `ports`: the TCP ports that the pod's containers declare; empty until a request listed them.
    `reported_usage` is what the job has used, if its comment has it (`SHARED_FS: false`); else the records do.
    `usage_is_settled`: the pod has ended, and no further value of its usage will come.
    `awaited_sidecar`: the native sidecar that is not ready, so that the containers after it do not start.
    """

    job: Job | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    final: bool = False
    failure: str = ""
    waiting: str = ""
    runs: int = 0
    waiting_reason: str = SUBMITTING
    previous_records: Mapping[str, Record] = field(default_factory=dict)
    names_memory: bool = True
    container_names: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    being_deleted: bool = False
    unlisted: bool = False
    awaited_sidecar: Record | None = None
    reported_usage: JobUsage | None = None
    usage_is_settled: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The containers in the pod's order; if that is not known, those with records, the first started first."""
        if self.container_names:
            return self.container_names
        return tuple(sorted(self.records, key=lambda name: (self.records[name].began or float("inf"), name)))

    @property
    def is_known(self) -> bool:
        """Whether there is anything to report: nothing yet of a job that only the Virtual Kubelet knows."""
        unknown = self.job is not None and self.job.state.phase is JobPhase.UNKNOWN
        return not unknown or self.final or bool(self.failure) or bool(self.records)

    @property
    def job_id(self) -> str:
        return self.job.id if self.job else ""
