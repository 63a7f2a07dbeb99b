"""What sacct is asked: how jobs ended that squeue no longer lists, and what ended jobs have used."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase
from remote_slurm.errors import Code, SiteError
from remote_slurm.log import debug, warning
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.cooperative import unhurried
from remote_slurm.site.site import Site

# One sacct for so many ended jobs, at most once in so many seconds
USAGE_JOBS = 200
USAGE_SECONDS = 60
# The accounting has the end of a job some seconds after squeue shows it; a job that it never had is given up
USAGE_TRIES = 3
# A sacct that fails is tried again after ever longer pauses, so that no alert fires for it alone
LONGEST_PAUSE_SECONDS = 3600
UNAVAILABLE_FAILURES = 2


class Accounting:
    """Remembers that a site has none. Two calls are never under way at once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._is_asking = False
        self.is_disabled = False

    async def ended(self, pods: Iterable[TrackedPod]) -> dict[str, Job]:
        """The ended jobs of these pods, by the keys of the pods. Raises SiteError.

        While another call is under way, there are none. Of several jobs with one id, and of several runs of a requeued
        job, the last one counts. A cluster of a federation that did not run the job has it as revoked.
        """
        by_id = {tracked.job_id: tracked for tracked in pods}
        if not by_id or self.is_disabled or self._is_asking:
            return {}
        self._is_asking = True
        try:
            jobs = await self._site.accounting(by_id)
        except SiteError as error:
            self.is_disabled = error.code is Code.ACCOUNTING_DISABLED
            raise
        finally:
            self._is_asking = False
        known = (job for job in jobs if job.state.phase is not JobPhase.UNKNOWN)
        last = {
            each.key: job for job in known if (each := by_id.get(job.id)) and job.may_be_of(each.key, each.submitted)
        }
        return {key: job for key, job in last.items() if job.state.phase is JobPhase.ENDED}


class UsageQueries:
    """Asks what pods have used after they ended: each pod once, many with one sacct, and seldom while sacct fails."""

    def __init__(self, pod_store: PodStore, accounting: Accounting, clock: Callable[[], float]) -> None:
        self._pod_store = pod_store
        self._accounting = accounting
        self._clock = clock
        self._next = clock()
        self._failures = 0  # since the last success

    async def ask(self) -> None:
        """Ask for the pods that have ended since, if it is time, as far as one sacct goes; the others come next.

        Without accounting, or while sacct fails, what the jobs measured is settled at once.
        """
        ended = [each async for each in unhurried(self._pod_store) if each.is_over and not each.usage_is_settled]
        is_time = self._clock() >= self._next and not self._accounting.is_disabled
        asked = ended[:USAGE_JOBS] if is_time else ended
        if ended and is_time:
            # the accounting may have been read for the end of the job
            await self._ask([each for each in asked if each.job is not None and each.job.usage is None])
        if not is_time and not self._is_unavailable:
            return
        for tracked in asked:
            tracked.usage_tries += 1
            has_usage = tracked.job is None or tracked.job.usage is not None
            tracked.usage_is_settled = has_usage or self._is_unavailable or tracked.usage_tries >= USAGE_TRIES

    async def _ask(self, pods: list[TrackedPod]) -> None:
        try:
            found = await self._accounting.ended(pods)
            self._failures = 0
        except SiteError as error:
            self._failures += 1
            write = debug if self._failures > 1 or self._accounting.is_disabled else warning
            write("sacct is unavailable; the usage of ended pods is what their jobs measured", reason=error)
            found = {}
        self._next = self._clock() + min(USAGE_SECONDS << self._failures, LONGEST_PAUSE_SECONDS)
        for tracked in pods:
            if job := found.get(tracked.key):
                tracked.take_usage(job)

    @property
    def _is_unavailable(self) -> bool:
        return self._accounting.is_disabled or self._failures >= UNAVAILABLE_FAILURES
