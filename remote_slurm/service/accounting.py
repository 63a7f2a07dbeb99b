"""What sacct is asked: how jobs ended that squeue no longer lists, and what ended jobs have used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase
from remote_slurm.errors import Code, SiteError
from remote_slurm.log import debug, warning
from remote_slurm.service.pod_store import PodStore, TrackedPod
from remote_slurm.site.cooperative import unhurried
from remote_slurm.site.site import Site

# One sacct for so many ended jobs, at most once in so many seconds
USAGE_JOBS = 200
USAGE_SECONDS = 60
# The accounting has the end of a job some seconds after squeue shows it; a job that it never had is given up
USAGE_TRIES = 3


class Accounting:
    """Remembers that a site has none. Two calls are never under way at once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = asyncio.Lock()
        self.is_disabled = False

    async def ended(self, pods: Iterable[TrackedPod]) -> dict[str, Job]:
        """The ended jobs of these pods, by the keys of the pods. Raises SiteError.

        Of several jobs with one id, and of several runs of a requeued job, the last one counts. A cluster of a
        federation that did not run the job has it as revoked.
        """
        by_id = {tracked.job_id: tracked for tracked in pods}
        if not by_id or self.is_disabled:
            return {}
        async with self._lock:
            try:
                jobs = await self._site.accounting(by_id)
            except SiteError as error:
                self.is_disabled = error.code is Code.ACCOUNTING_DISABLED
                raise
        known = (job for job in jobs if job.state.phase is not JobPhase.UNKNOWN)
        last = {
            each.key: job for job in known if (each := by_id.get(job.id)) and job.may_be_of(each.key, each.submitted)
        }
        return {key: job for key, job in last.items() if job.state.phase is JobPhase.ENDED}


class UsageQueries:
    """Asks what pods have used after they ended: each pod once, many with one sacct."""

    def __init__(self, pod_store: PodStore, accounting: Accounting, clock: Callable[[], float]) -> None:
        self._pod_store = pod_store
        self._accounting = accounting
        self._clock = clock
        self._next = clock()

    async def ask(self) -> None:
        """Ask for the pods that have ended since, if it is time, as far as one sacct goes; the others come next."""
        ended = [each async for each in unhurried(self._pod_store) if each.is_over and not each.usage_is_settled]
        if not ended or (self._clock() < self._next and not self._accounting.is_disabled):
            return
        self._next = self._clock() + USAGE_SECONDS
        asked = ended if self._accounting.is_disabled else ended[:USAGE_JOBS]
        # the accounting may have been read for the end of the job
        unknown = [each for each in asked if each.job is not None and each.job.usage is None]
        try:
            found = await self._accounting.ended(unknown)
        except SiteError as error:
            write = debug if self._accounting.is_disabled else warning
            write("sacct is unavailable; the usage of ended pods is what their jobs measured", reason=error)
            found = {}
        for tracked in asked:
            tracked.usage_tries += 1
            if job := found.get(tracked.key):
                tracked.take_usage(job)
            has_usage = tracked.job is None or tracked.job.usage is not None
            tracked.usage_is_settled = has_usage or self._accounting.is_disabled or tracked.usage_tries >= USAGE_TRIES
