"""Polls the site once per interval, for all pods together. The results go into the pod store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase
from remote_slurm.errors import NotSent, OutcomeUnknown, RemoteFailed, SiteError, SlurmFailed
from remote_slurm.log import debug, info, warning
from remote_slurm.service.accounting import Accounting
from remote_slurm.service.fetching import Fetching
from remote_slurm.service.held_jobs import HeldJobs
from remote_slurm.service.job_copies import JobCopies
from remote_slurm.service.job_ends import JobEnds
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poll_pace import PollPace
from remote_slurm.service.reconnect_signal import ReconnectSignal
from remote_slurm.service.record_reader import RecordReader
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.cooperative import unhurried
from remote_slurm.site.operations.queue import Queue
from remote_slurm.site.site import Site

# A record that began so long before a squeue that lists the job as waiting is one of an earlier run, however far the
# clocks of the nodes are from the clock of the login node
STALE_SECONDS = 300
# A poll removes the secrets of so many ended pods; after a restart there may be thousands
CLEARED_PODS = 500
# So that the records of a short job are read before the next poll
EARLY_RECORDS_SECONDS = 2
# A poll waits so much longer for the records than for squeue: their file system may hang
LATE_RECORDS_SECONDS = 5
# While no job is in the queue and every pod has ended, nothing at the site can change what is reported: the next poll
# comes after so many intervals. At most 30 s: the owner of DataRootFolder is taken for dead after 90 s without a poll.
IDLE_INTERVALS = 3
LONGEST_IDLE_SECONDS = 30
# A poll has deadlines of its own, which add up to less
LONGEST_POLL_SECONDS = 300

# The `error` of a poller before its first poll
FIRST_POLL_SECONDS = 80
_POLL_CHECK_SECONDS = 0.05
_NOT_YET = "the site has not been reached yet"


class Poller:
    """Keeps the pod store up to date.

    `error` is why the last poll failed; empty if it succeeded. `cause` is its kind if the site answered: `SlurmFailed`
    if a Slurm command failed, `RemoteFailed` if another command did. `jobs` are those of the last squeue that
    succeeded, also of other sidecars' pods. `clock_offset` is how many seconds the clock of the site is ahead.
    """

    def __init__(
        self, site: Site, pod_store: PodStore, interval: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._site = site
        self._pod_store = pod_store
        self.interval = interval
        self.pace = PollPace()
        self.after_poll = _nothing
        self._clock = clock
        self._held_jobs = HeldJobs(site, pod_store, clock)
        self._copies = JobCopies(site, pod_store)
        self.accounting = Accounting(site)
        self._ends = JobEnds(site, pod_store, clock, self.accounting)
        self.fetching = Fetching(site)
        self._cleared: set[str] = set()  # ended pods whose secrets were removed at the site
        self._reader = RecordReader(self._read_records, self._set_error)
        self._poll_soon = asyncio.Event()
        self.reconnected = ReconnectSignal()
        self.error = _NOT_YET
        self.cause = ""
        self.has_polled = False  # or has tried to
        self.last_success: float | None = None
        self._born = self._last_poll = clock()
        self.jobs: tuple[Job, ...] = ()
        self.clock_offset = 0.0

    @property
    def age(self) -> float:
        """Seconds since the last successful poll, or since the start."""
        return self._clock() - (self._born if self.last_success is None else self.last_success)

    @property
    def overdue(self) -> float:
        """Seconds by which the next poll is later than any deadline in it explains."""
        return max(0.0, self._clock() - self._last_poll - self.current_interval - LONGEST_POLL_SECONDS)

    @property
    def current_interval(self) -> float:
        """Seconds between two polls: more than `interval` while squeue is slow."""
        return self.pace.seconds(self.interval)

    async def first_poll(self) -> bool:
        """Return once a poll has succeeded: whether that took a wait. Raises RemoteFailed if the first one fails."""
        has_to_wait = self.last_success is None
        until = self._clock() + FIRST_POLL_SECONDS
        while self.last_success is None:
            if self.has_polled or self._clock() > until:
                raise RemoteFailed(self.error)
            await asyncio.sleep(_POLL_CHECK_SECONDS)
        return has_to_wait

    def unreachable(self, error: SiteError) -> None:
        """Note that the site cannot be polled at all."""
        self._set_error(error)

    def poll_soon(self) -> None:
        """Read the records before the next poll, which comes within an interval: a job was submitted."""
        self._poll_soon.set()

    async def run(self) -> None:
        """Poll for ever: once per interval, and less often while there is nothing to wait for."""
        try:
            while True:
                started = self._clock()
                try:
                    await self.poll()
                finally:
                    self._site.observer.polled(self._clock() - started)
                await self.after_poll()
                await self._wait(started)
        finally:
            await self._reader.stop()

    async def poll(self) -> None:
        """Run squeue and read the records side by side, then decide the ends of jobs.

        The poll succeeds only if every question succeeds; the others are used all the same. While the file system
        hangs, squeue alone is used: the poll has no outcome until the records are read, or cannot be read.
        """
        begun = {tracked.key: tracked.run async for tracked in unhurried(self._pod_store) if tracked.records}
        reading = self._reader.begin()
        queue: Queue | None = None
        problem: SiteError | None = None
        try:
            queue = await self._queue()
        except SiteError as error:
            problem = error
        is_read = True
        try:
            is_read = await self._reader.has_ended(reading, LATE_RECORDS_SECONDS)
        except SiteError as error:
            problem = problem or error
            is_read = not isinstance(error, OutcomeUnknown)  # there was no reply
        if queue is not None:
            found = await self._apply_queue(queue, begun, is_read=is_read)
            problem = problem or found
        if is_read or problem is not None:
            self._set_error(problem)
        self._last_poll = self._clock()

    async def _apply_queue(self, queue: Queue, begun: Mapping[str, int], *, is_read: bool) -> SiteError | None:
        """Return the error of a question that follows from squeue. While the records cannot be read, there is none."""
        self.clock_offset = queue.clock_offset
        self.jobs = (*queue.jobs, *(await self._copies.among(queue.others)))
        await self._apply(self.jobs)
        if not is_read:
            await self._notice_requeues(begun, time.time() + queue.clock_offset)
            return None
        problem = None
        if self._site.reports_in_comment and self._site.other_sidecars.newer_mark is None:
            problem = await self._held_jobs.release(self.jobs)
            self.fetching.begin(self._pod_store)
        await self._notice_requeues(begun, time.time() + queue.clock_offset)
        try:
            await self._ends.end_finished_pods(self.jobs, queue.others.values())
        except SiteError as error:
            problem = problem or error
        return problem

    def _set_error(self, problem: BaseException | None) -> None:
        reason = str(problem) if problem else ""
        if reason and reason != self.error:
            # the connection has logged why there is none
            write = debug if isinstance(problem, NotSent) else warning
            write("the poll failed", reason=reason)
        elif not reason and self.error:
            info("poll succeeded, the site is reachable")
            self.reconnected.notify()
        self.error, self.has_polled = reason, True
        self.cause = _cause(problem)
        self._last_poll = self._clock()
        if not reason:
            self.last_success = self._last_poll

    async def _queue(self) -> Queue:
        asked = self._clock()
        try:
            queue = await self._site.queue()
        except SlurmFailed:
            self.pace.took(self._clock() - asked, self.interval)
            raise
        self.pace.took(0.0 if queue.seconds is None else queue.seconds, self.interval)
        return queue

    async def _read_records(self, early: bool) -> None:  # noqa: FBT001 - the only argument
        over = {tracked.key async for tracked in unhurried(self._pod_store) if tracked.is_over}
        self._cleared &= over
        ended = sorted(over - self._cleared)[:CLEARED_PODS]
        self._pod_store.add_records(await self._site.records(ended, early=early))
        self._cleared.update(ended)

    async def _pause(self) -> float:
        if self.error or self.jobs or not all([tracked.is_over async for tracked in unhurried(self._pod_store)]):
            return self.current_interval
        return max(self.current_interval, min(IDLE_INTERVALS * self.interval, LONGEST_IDLE_SECONDS))

    async def _wait(self, started: float) -> None:
        """Wait for the time of the next poll after the one that `started` then.

        Records are read once per interval also while squeue is slow: reading them asks nothing of slurmctld.
        """
        while (left := started + await self._pause() - self._clock()) > 0:
            try:
                # wait_for would keep a cancellation to itself that comes together with the event (Python 3.11)
                async with asyncio.timeout(min(left, self.interval)):
                    await self._poll_soon.wait()
            except TimeoutError:
                if self.pace.is_slow and left > self.interval:
                    await self._read_between(started)
                continue
            self._poll_soon.clear()
            await asyncio.sleep(min(EARLY_RECORDS_SECONDS, left))
            await self._read_between(started, early=True)

    async def _read_between(self, started: float, *, early: bool = False) -> None:
        """Read records between two polls. The next poll does not wait for them."""
        left = max(0.0, started + await self._pause() - self._clock())
        try:
            await self._reader.has_ended(self._reader.begin(early=early), left)
        except SiteError as error:
            self._set_error(error)

    async def _apply(self, jobs: Iterable[Job]) -> None:
        by_pod: dict[str, list[Job]] = {}
        async for job in unhurried(jobs):
            by_pod.setdefault(job.pod, []).append(job)
        async for tracked in unhurried(self._pod_store):
            if tracked.is_over:
                continue
            found = _own_job(by_pod.get(tracked.key, []), tracked)
            if found is not None:
                tracked.update_from_squeue(found)
            elif tracked.job_id:
                tracked.mark_missing(self._clock())

    async def _notice_requeues(self, begun: Mapping[str, int], site_time: float) -> None:
        """Start a new run for each job that this squeue lists as waiting and that had `begun` before.

        A job that squeue does not list proves nothing: it may have ended, and Slurm forgets jobs after MinJobAge.
        A record that came during the squeue may belong to the next run.
        """
        async for tracked in unhurried(self._pod_store):
            if not tracked.is_shown_waiting or tracked.is_over:
                continue
            if begun.get(tracked.key) == tracked.run and (tracked.waits_again or _are_stale(tracked, site_time)):
                tracked.begin_run(tracked.run + 1)
                tracked.waits_again = False  # a squeue that lags behind must not end the next run as well
                reason = tracked.job.reason if tracked.job else ""
                info("job was requeued", pod=tracked.name, job=tracked.job_id, reason=reason)


async def _nothing() -> None:
    pass


def _cause(problem: BaseException | None) -> str:
    match problem:
        case SlurmFailed():
            return "SlurmFailed"
        case RemoteFailed():
            return "RemoteFailed"
        case _:
            return ""


def _are_stale(tracked: TrackedPod, site_time: float) -> bool:
    return all(record.began < site_time - STALE_SECONDS for record in tracked.records.values())


def _own_job(jobs: list[Job], tracked: TrackedPod) -> Job | None:
    """The pod's job among those with its script: the one that is known, else one that is not over."""
    if tracked.job_id:
        return next((job for job in jobs if job.id == tracked.job_id), None)
    return next((job for job in jobs if job.state.phase is not JobPhase.ENDED), jobs[0] if jobs else None)
