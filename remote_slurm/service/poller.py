"""One look at the site per interval, for all pods together; what it finds goes into the entries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from remote_slurm.domain.slurm import Job, JobState, Phase
from remote_slurm.errors import NotSent, SiteError, Superseded
from remote_slurm.events import detail, event, warn
from remote_slurm.remote.site import Queue, Site, Wanted
from remote_slurm.remote.unhurried import unhurried
from remote_slurm.service.entries import Entries, Entry
from remote_slurm.service.fetching import Fetching
from remote_slurm.service.returns import Returns

# A node's last record may reach the login node late, by a cached directory of a shared file system
RECORD_GRACE_SECONDS = 15
# Absent from so many good squeues and for so long, without accounting and without a record: then a job is lost
LOST_SECONDS = 600
LOST_POLLS = 3
# A record that began so long before a squeue that shows the job as waiting is one of an earlier run, however far the
# clocks of the nodes are from the login node's
STALE_SECONDS = 300
# A job that ends at once is seen before the next poll
EARLY_LOOK_SECONDS = 2

# A round has deadlines of its own, which add up to less
LONGEST_ROUND_SECONDS = 300

# The `error` of a poller that has not looked yet
NOT_YET = "the site has not been reached yet"


class Poller:
    """Keeps the entries true. `error` says why the last look failed, and is empty when it did not."""

    def __init__(
        self, site: Site, entries: Entries, interval: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._site = site
        self._entries = entries
        self._interval = interval
        self._clock = clock
        self._no_accounting = False
        self._unknown: dict[str, float] = {}  # held jobs of pods that nobody asks for, and since when
        # held jobs that need no more: they were let go before, and are held again by somebody, or nobody asks for them
        self._released: set[tuple[str, Wanted]] = set()
        self._unreleased = ""  # why one of them could not be let go
        self.fetching = Fetching(site)
        self._early = asyncio.Event()
        self.returns = Returns()
        self.error = NOT_YET
        self.last_success: float | None = None
        self._born = self._last_round = clock()
        self.jobs: tuple[Job, ...] = ()  # of the last squeue that succeeded, with those of other sidecars' pods
        self.clock_offset = 0.0

    @property
    def age(self) -> float:
        """Seconds since the last look that succeeded, or since the start where there was none."""
        return self._clock() - (self._born if self.last_success is None else self.last_success)

    @property
    def overdue(self) -> float:
        """By how many seconds the next look, whether it succeeds or fails, is later than anything can explain."""
        return max(0.0, self._clock() - self._last_round - self._interval - LONGEST_ROUND_SECONDS)

    def unreachable(self, error: SiteError) -> None:
        """Nothing could be asked."""
        self._note(error)

    def look_soon(self) -> None:
        """A job was submitted: look at the records, and at nothing else, before the next poll."""
        self._early.set()

    async def run(self) -> None:
        """For ever; a look that fails is logged when the reason changes. Raises Superseded."""
        while True:
            started = self._clock()
            try:
                await self.poll()
            finally:
                self._site.observer.polled(self._clock() - started)
            await self._until(started + self._interval)

    async def poll(self) -> None:
        """squeue and the records side by side, then what has become of jobs that ended. Raises Superseded."""
        begun = {entry.pod: entry.run async for entry in unhurried(self._entries) if entry.records}
        queue, records = await asyncio.gather(self._queue(), self._records(), return_exceptions=True)
        problem = next((each for each in (queue, records) if isinstance(each, BaseException)), None)
        if problem is not None and not isinstance(problem, SiteError):
            raise problem
        if isinstance(records, Superseded):
            raise records
        if isinstance(queue, Queue):
            self.clock_offset = queue.clock_offset
            self.jobs = queue.jobs
            await self._apply(queue.jobs)
            unreleased = await self._release(queue.jobs)
            problem = problem or unreleased
            if not self._site.shared_fs:
                self.fetching.begin(self._entries)
            await self._notice_requeues(begun, time.time() + queue.clock_offset)
            try:
                await self._settle()
            except SiteError as error:
                problem = problem or error
        self._note(problem)

    def _note(self, problem: BaseException | None) -> None:
        reason = str(problem) if problem else ""
        if reason and reason != self.error:
            # why there is no connection, the connection has logged itself
            tell = detail if isinstance(problem, NotSent) else warn
            tell(f"the last look at the site failed: {reason}")
        elif not reason and self.error:
            event("the site answers")
            self.returns.happened()
        self.error = reason
        self._last_round = self._clock()
        if not reason:
            self.last_success = self._last_round

    async def _queue(self) -> Queue:
        return await self._site.queue()

    async def _records(self) -> None:
        self._entries.take(await self._site.records())

    async def _until(self, moment: float) -> None:
        while (left := moment - self._clock()) > 0:
            try:
                # wait_for would keep a cancellation to itself that comes together with the event (Python 3.11)
                async with asyncio.timeout(left):
                    await self._early.wait()
            except TimeoutError:
                return
            self._early.clear()
            await asyncio.sleep(min(EARLY_LOOK_SECONDS, left))
            try:
                await self._records()
            except SiteError as error:
                self._note(error)

    async def _release(self, jobs: Iterable[Job]) -> SiteError | None:
        """Jobs whose submission broke off before their release; second jobs of a pod, and those of pods that were
        deleted while sbatch was under way, must not start.
        """
        if self._site.shared_fs:
            return None
        held = [job for job in jobs if job.reason == "JobHeldUser" and job.state.phase is Phase.WAITING]
        wanted = {job: self._wanted(job) for job in held}
        self._released &= {(job.id, each) for job, each in wanted.items()}
        self._unknown = {job.id: self._unknown[job.id] for job in held if job.id in self._unknown}
        waiting = [job for job in held if (job.id, wanted[job]) not in self._released]
        # a pod's own job first: the claim goes to it
        waiting.sort(key=lambda job: (entry := self._entries.get(job.pod)) is None or entry.job_id != job.id)
        try:
            if waiting:
                answer = await self._site.release((job.pod, job.id, wanted[job]) for job in waiting)
                self._released |= {(job.id, wanted[job]) for job in waiting if job.id in answer.done}
                self._tell_unreleased(answer.failure)
        except SiteError as error:
            return error
        return None

    def _tell_unreleased(self, failure: str) -> None:
        """For Kubernetes the pod only waits, since its user holds its job."""
        if failure and failure != self._unreleased:
            warn(f"a job stays held, since its release fails, and is tried again: {failure}")
        self._unreleased = failure

    def _wanted(self, job: Job) -> Wanted:
        """Another sidecar may have made it right now, on a login node whose files are seen later than its jobs."""
        if self._entries.get(job.pod) is not None:
            self._unknown.pop(job.id, None)
            return Wanted.YES
        since = self._unknown.setdefault(job.id, self._clock())
        return Wanted.NEVER if self._clock() - since >= LOST_SECONDS else Wanted.NO

    async def _apply(self, jobs: Iterable[Job]) -> None:
        by_pod: dict[str, list[Job]] = {}
        async for job in unhurried(jobs):
            by_pod.setdefault(job.pod, []).append(job)
        async for entry in unhurried(self._entries):
            if entry.is_over:
                continue
            found = _own(by_pod.get(entry.pod, []), entry)
            if found is not None:
                self._see(entry, found)
            elif entry.job_id:
                entry.missing_since = entry.missing_since or self._clock()
                entry.missing_polls += 1

    async def _notice_requeues(self, begun: Mapping[str, int], site_time: float) -> None:
        """Of jobs that wait, what had `begun` before this squeue is over; what came during it may be the next run."""
        async for entry in unhurried(self._entries):
            if entry.job is None or entry.job.state.phase is not Phase.WAITING or entry.is_over:
                continue
            if begun.get(entry.pod) == entry.run and (entry.waits_again or _are_stale(entry, site_time)):
                entry.begin_run(entry.run + 1)
                event("job was requeued", pod=entry.name, job=entry.job_id, reason=entry.job.reason)

    def _see(self, entry: Entry, job: Job) -> None:
        before = entry.job.state if entry.job else None
        entry.see(job)
        if entry.job is not None and entry.job.state is not before:
            event(f"job is {entry.job.state.value}", pod=entry.name, job=entry.job_id, reason=entry.job.reason)

    async def _settle(self) -> None:
        """Jobs that ended, or that squeue has forgotten: their last records, and the accounting's word."""
        open_ends = [entry async for entry in unhurried(self._entries) if not entry.is_over and _may_be_over(entry)]
        if not open_ends:
            return
        settled = await self._site.settle(entry.pod for entry in open_ends)
        self._entries.take(settled.records)
        await self._ask_accounting([entry for entry in open_ends if entry.missing_since is not None])
        for entry in open_ends:
            self._judge(entry)

    async def _ask_accounting(self, entries: list[Entry]) -> None:
        ids = {entry.job_id: entry for entry in entries if entry.job and entry.job.state.phase is not Phase.ENDED}
        if not ids or self._no_accounting:
            return
        try:
            jobs = await self._site.accounting(ids)
        except SiteError as error:
            self._no_accounting = "disabled" in str(error)
            warn(
                f"the accounting does not answer, so jobs that squeue has forgotten are known by their records: {error}"
            )
            return
        for job in jobs:
            entry = ids.get(job.id)
            if entry is not None and job.state.phase is Phase.ENDED:
                entry.is_accounted(job)

    def _judge(self, entry: Entry) -> None:
        """Whether what is known is final."""
        job = entry.job
        if job is None:
            return
        now = self._clock()
        # a job's comment is Slurm's own, and is not late
        grace = RECORD_GRACE_SECONDS if self._site.shared_fs else 0
        if job.state.phase is Phase.ENDED:
            entry.ended_since = entry.ended_since or now
            if entry.is_complete or now - entry.ended_since >= grace:
                self._end(entry)
        elif entry.missing_since is not None and entry.is_complete:
            self._end(entry)
        elif entry.missing_polls >= LOST_POLLS and now - (entry.missing_since or now) >= LOST_SECONDS:
            entry.job = Job(job.id, JobState.UNKNOWN, pod=entry.pod)
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        entry.settle()
        state = entry.job.state.value if entry.job else ""
        # how a native sidecar ended, which was told to, is nobody's failure
        counted = entry.expected or entry.records.keys()
        failed = [record for name, record in entry.records.items() if record.exit_code and name in counted]
        if state == JobState.COMPLETED.value and not failed:
            event("pod ended", pod=entry.name, job=entry.job_id, state=state)
        else:
            code = max((record.exit_code for record in failed), default="")
            warn("pod failed", pod=entry.name, job=entry.job_id, state=state, exit_code=code)


def _are_stale(entry: Entry, site_time: float) -> bool:
    return all(record.started < site_time - STALE_SECONDS for record in entry.records.values())


def _own(jobs: list[Job], entry: Entry) -> Job | None:
    """The pod's job among those with its script: the one that is known, else one that is not over."""
    if entry.job_id:
        return next((job for job in jobs if job.id == entry.job_id), None)
    return next((job for job in jobs if job.state.phase is not Phase.ENDED), jobs[0] if jobs else None)


def _may_be_over(entry: Entry) -> bool:
    return entry.missing_since is not None or (entry.job is not None and entry.job.state.phase is Phase.ENDED)
