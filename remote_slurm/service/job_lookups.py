"""One job of squeue, for many who ask at once: slurmctld is asked for a job by one squeue at a time."""

from __future__ import annotations

import asyncio

from remote_slurm.domain.slurm.job import Job
from remote_slurm.site.site import Site


class JobLookups:
    """Asks squeue for jobs at one site. A lookup that has begun is not shared: the job may have ended since."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._running: dict[str, asyncio.Task[Job | None]] = {}
        self._next: dict[str, asyncio.Task[Job | None]] = {}

    async def job(self, job_id: str) -> Job | None:
        """The job as squeue lists it after this call. Raises what `Site.job` raises."""
        return await asyncio.shield(self.ask(job_id))

    def ask(self, job_id: str) -> asyncio.Task[Job | None]:
        """Begin to look the job up, as `job`. The task is shared: shield it."""
        running = self._running.get(job_id)
        if running is None:
            task = self._running[job_id] = self._task(job_id)
        elif job_id in self._next:
            task = self._next[job_id]
        else:
            task = self._next[job_id] = self._task(job_id, after=running)
        return task

    def _task(self, job_id: str, after: asyncio.Task[Job | None] | None = None) -> asyncio.Task[Job | None]:
        task = asyncio.create_task(self._look_up(job_id, after), name="job-lookup")
        task.add_done_callback(lambda done: self._ended(job_id, done))
        return task

    async def _look_up(self, job_id: str, after: asyncio.Task[Job | None] | None) -> Job | None:
        if after is not None:
            await asyncio.wait({after})
            self._running[job_id] = self._next.pop(job_id)
        return await self._site.job(job_id)

    def _ended(self, job_id: str, done: asyncio.Task[Job | None]) -> None:
        if self._running.get(job_id) is done:
            del self._running[job_id]
        if not done.cancelled():
            done.exception()  # read, though the callers may have gone
