"""With SHARED_FS: false, jobs are submitted held: the fence decides which job of a pod is released.

A submission normally releases its job itself. The poller does it for a submission that was cut off, and ends second
jobs of a pod, and jobs of pods that were deleted while sbatch ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase
from remote_slurm.errors import SiteError
from remote_slurm.log import warning
from remote_slurm.service.pod_store import PodStore
from remote_slurm.site.operations.release import Released, ReleaseDecision
from remote_slurm.site.site import Site

# A login node may show the files of another sidecar so much later than its jobs
UNKNOWN_SECONDS = 600


class HeldJobs:
    """Remembers what was decided, so that each held job is asked about once."""

    def __init__(self, site: Site, pod_store: PodStore, clock: Callable[[], float]) -> None:
        self._site = site
        self._pod_store = pod_store
        self._clock = clock
        self._unknown_since: dict[str, float] = {}  # by job id, of jobs whose pods are not in the store
        # a released job that is held again was held by its user or an administrator
        self._decided: set[tuple[str, ReleaseDecision]] = set()
        self._failed: tuple[str, str] | None = None

    async def release(self, jobs: Iterable[Job]) -> SiteError | None:
        """Release or cancel the held jobs among `jobs`. Return the error if the site could not be asked."""
        held = [job for job in jobs if job.reason == "JobHeldUser" and job.state.phase is JobPhase.WAITING]
        decisions = {job: self._decision(job) for job in held}
        self._decided &= {(job.id, decision) for job, decision in decisions.items()}
        self._unknown_since = {job.id: self._unknown_since[job.id] for job in held if job.id in self._unknown_since}
        open_jobs = [job for job in held if (job.id, decisions[job]) not in self._decided]
        open_jobs.sort(key=self._is_not_the_pods_own)
        if not open_jobs:
            return None
        try:
            released = await self._site.release((job.pod, job.id, decisions[job]) for job in open_jobs)
        except SiteError as error:
            return error
        self._decided |= {(job.id, decisions[job]) for job in open_jobs if job.id in released.done}
        self._log(released, open_jobs)
        return None

    def _is_not_the_pods_own(self, job: Job) -> bool:
        """The job that the sidecar knows comes first: it gets the fence."""
        tracked = self._pod_store.get(job.pod)
        return tracked is None or tracked.job_id != job.id

    def _decision(self, job: Job) -> ReleaseDecision:
        """Another sidecar may have created an unknown pod just now, on another login node."""
        if self._pod_store.get(job.pod) is not None:
            self._unknown_since.pop(job.id, None)
            return ReleaseDecision.YES
        since = self._unknown_since.setdefault(job.id, self._clock())
        return ReleaseDecision.NEVER if self._clock() - since >= UNKNOWN_SECONDS else ReleaseDecision.NO

    def _log(self, released: Released, jobs: Iterable[Job]) -> None:
        """Log a failure once. In Kubernetes the pod is pending, because its user holds its job."""
        failed = (released.failed, released.reason) if released.failed else None
        if failed and failed != self._failed:
            pod = next((job.pod for job in jobs if job.id == released.failed), "")
            warning("cannot release a held job", pod=pod, job=released.failed, reason=released.reason)
        self._failed = failed
