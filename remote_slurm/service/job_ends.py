"""How a job ended: its last records, the accounting, or neither for so long that the job is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_ids import is_task, whole_job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.status.pod_summary import PodPhase
from remote_slurm.errors import SiteError
from remote_slurm.log import info, warning
from remote_slurm.service.accounting import Accounting
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.cooperative import unhurried
from remote_slurm.site.site import Site

# A node's last record may reach the login node late, through a cached directory of a shared file system
RECORD_GRACE_SECONDS = 15
# A job is lost if so many good squeues over so long did not list it, without accounting and without a record
LOST_SECONDS = 600
LOST_POLLS = 3
# A task of an array was cancelled while it waited if so many good squeues listed the array without it
UNTRACED_POLLS = 2


class JobEnds:
    """Decides which pods are over: those whose job has ended, or that squeue no longer lists."""

    def __init__(self, site: Site, pod_store: PodStore, clock: Callable[[], float], accounting: Accounting) -> None:
        self._site = site
        self._pod_store = pod_store
        self._clock = clock
        self._accounting = accounting

    async def end_finished_pods(self, jobs: Iterable[Job], others: Iterable[Job] = ()) -> None:
        """`jobs` are those of the last squeue, `others` are those of no pod. Raises SiteError."""
        candidates = [tracked async for tracked in unhurried(self._pod_store) if _may_be_over(tracked)]
        if not candidates:
            return
        inspection = await self._site.inspect_pods(tracked.key for tracked in candidates)
        self._pod_store.add_records(inspection.records)
        self._adopt_jobs_in_fences(_unlisted(candidates), inspection.fences, jobs)
        await self._ask_accounting(_unlisted(candidates))
        await self._end_cancelled_tasks(_unlisted(candidates), inspection.fences, (*jobs, *others))
        for tracked in candidates:
            if tracked.job is None or tracked.is_over:
                continue
            if self._is_lost(tracked):
                tracked.job = Job(tracked.job.id, JobState.UNKNOWN, pod=tracked.key)
                _end(tracked)
            elif self._has_ended(tracked, tracked.job):
                _end(tracked)

    def _adopt_jobs_in_fences(self, unlisted: list[TrackedPod], fences: Mapping[str, str], jobs: Iterable[Job]) -> None:
        """If squeue does not list the id that sbatch printed, the fence and then the script's path name the job."""
        alive = {job.pod: job for job in jobs if job.state.phase is not JobPhase.ENDED}
        for tracked in unlisted:
            other = alive.get(tracked.key)
            job_id = fences.get(tracked.key) or (other.id if other else tracked.job_id)
            if job_id == tracked.job_id:
                continue
            warning(
                "continuing with a job id that differs from the one that sbatch printed",
                pod=tracked.name,
                job=job_id,
                sbatch=tracked.job_id,
            )
            tracked.set_job_id(job_id)
            if other is not None and other.id == job_id:
                tracked.update_from_squeue(other)

    async def _ask_accounting(self, unlisted: list[TrackedPod]) -> None:
        asked = [each for each in unlisted if each.job and each.job.state.phase is not JobPhase.ENDED]
        try:
            found = await self._accounting.ended(asked)
        except SiteError as error:
            warning("sacct is unavailable; using runner records for jobs that squeue no longer lists", reason=error)
            return
        for tracked in asked:
            if job := found.get(tracked.key):
                tracked.update_from_sacct(job)

    async def _end_cancelled_tasks(
        self, unlisted: Iterable[TrackedPod], fences: Mapping[str, str], listed: Iterable[Job]
    ) -> None:
        """Find the tasks of arrays that were cancelled while they waited: neither squeue nor sacct has a trace of them.

        It is one if squeue lists the array, or other tasks, without it. The fence makes it certain that no job runs the
        pod, whatever Slurm does.
        """
        waited = [each for each in unlisted if _is_untraced(each) and each.key not in fences]
        if not waited or self._site.other_sidecars.newer_mark is not None:
            return
        arrays = {whole_job(job.id) for job in listed}
        gone = {each.key: each for each in waited if whole_job(each.job_id) in arrays}
        if not gone:
            return
        for pod in await self._site.close_fences(gone):
            info("job was cancelled while it waited", pod=gone[pod].name, job=gone[pod].job_id)
            gone[pod].mark_cancelled()
            _end(gone[pod])

    def _has_ended(self, tracked: TrackedPod, job: Job) -> bool:
        """Return whether the pod has ended for good. Notes since when its job has ended."""
        now = self._clock()
        if job.state.phase is JobPhase.ENDED:
            tracked.ended_since = tracked.ended_since or now
            # with SHARED_FS: false, records are in the job's comment, which is never late
            grace = 0 if self._site.reports_in_comment else RECORD_GRACE_SECONDS
            return tracked.is_complete or now - tracked.ended_since >= grace
        return tracked.missing_since is not None and tracked.is_complete

    def _is_lost(self, tracked: TrackedPod) -> bool:
        """Return whether squeue has not listed the job for long, while nothing shows how it ended."""
        if tracked.job is None or tracked.job.state.phase is JobPhase.ENDED or tracked.missing_since is None:
            return False
        missing = self._clock() - tracked.missing_since
        return not tracked.is_complete and tracked.missing_polls >= LOST_POLLS and missing >= LOST_SECONDS


def _may_be_over(tracked: TrackedPod) -> bool:
    has_ended = tracked.job is not None and tracked.job.state.phase is JobPhase.ENDED
    return not tracked.is_over and (has_ended or tracked.missing_since is not None)


def _is_untraced(tracked: TrackedPod) -> bool:
    """Whether squeue listed a task as waiting, or not yet, and then several times not at all."""
    waits = tracked.job is not None and tracked.job.state.phase is JobPhase.WAITING
    return waits and is_task(tracked.job_id) and tracked.missing_polls >= UNTRACED_POLLS and not tracked.records


def _unlisted(pods: Iterable[TrackedPod]) -> list[TrackedPod]:
    return [tracked for tracked in pods if tracked.missing_since is not None]


def _end(tracked: TrackedPod) -> None:
    tracked.finalize()
    summary = tracked.summary()
    pod, job, state = tracked.name, tracked.job_id, summary.state
    if summary.phase is PodPhase.FAILED:
        warning("pod failed", pod=pod, job=job, state=state, exit_code=summary.exit_code, reason=summary.reason)
    else:
        info("pod ended", pod=pod, job=job, state=state)
