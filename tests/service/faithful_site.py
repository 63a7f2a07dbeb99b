"""A site in memory that does what the real one does: claims, attempts, tombstones, a fence, and a network before it.

The `Account` is what lies at the site, and outlives sidecars. A `Line` is one sidecar's way to it. A remote script goes
on, once it has arrived, whatever becomes of the connection.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from remote_slurm.domain.payload import Payload
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm import Capacity, Job, JobState, Phase
from remote_slurm.errors import AuthenticationRefused, OutcomeUnknown, RemoteFailed, Superseded, Unreachable
from remote_slurm.remote.convoy import Attempted, Deleted, SbatchFailed, Submission, Submitted
from remote_slurm.remote.observer import Observer
from remote_slurm.remote.site import Cancelled, Queue, Recovery, Settled

ROUND_TRIP = 0.05
SBATCH = 0.2
TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
FOR_NOW = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
FOR_GOOD = "sbatch: error: invalid partition specified: gold"
LATE = "killed after sbatch, and its job is shown late"
CONTAINER = "c"

Script = Callable[[], Coroutine[Any, Any, Any]]


@dataclass
class SlurmJob:
    id: str
    pod: str
    state: JobState = JobState.PENDING
    ended: float = 0.0
    shown: float = 0.0  # from when on squeue has it


@dataclass
class Account:
    """What lies at the site, and its Slurm; `now` is its clock."""

    now: Callable[[], float]
    folders: dict[str, dict[str, Record]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    attempts: set[str] = field(default_factory=set)
    claims: dict[str, str] = field(default_factory=dict)
    tombstones: set[str] = field(default_factory=set)
    spool: list[Record] = field(default_factory=list)
    jobs: dict[str, SlurmJob] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)  # what containers really ended with
    moods: deque[str] = field(default_factory=deque)
    owner: int = 0
    min_job_age: float = 300.0  # squeue forgets a job so long after its end
    accounting: str = "disabled"  # or "on", or "away" where its slurmdbd is
    sbatch_seconds: float = SBATCH
    told_grace: dict[str, int] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)  # pods whose folders cannot be removed, and why

    # --- Slurm and the runner ---

    def start(self, job: SlurmJob) -> None:
        """The job's first act is to claim the pod; only then containers run."""
        job.state = JobState.RUNNING
        if job.pod in self.tombstones or self.claims.setdefault(job.pod, job.id) != job.id:
            self.end(job, JobState.FAILED)
            return
        self.runs[job.pod] = self.runs.get(job.pod, 0) + 1
        self.record(job.pod, ContainerPhase.RUNNING, 0)

    def finish(self, job: SlurmJob, code: int) -> None:
        self.codes[job.pod] = code
        self.record(job.pod, ContainerPhase.TERMINATED, code)
        self.end(job, JobState.FAILED if code else JobState.COMPLETED)

    def record(self, pod: str, phase: ContainerPhase, code: int) -> None:
        moment = int(time.time())
        ended = moment if phase is ContainerPhase.TERMINATED else 0
        record = Record(pod, CONTAINER, phase, moment, ended, code, 0)
        if pod in self.folders:
            self.folders[pod][CONTAINER] = record
        self.spool.append(record)

    def end(self, job: SlurmJob, state: JobState) -> None:
        job.state, job.ended = state, self.now()

    def active(self, pod: str) -> list[SlurmJob]:
        return [job for job in self.jobs.values() if job.pod == pod and job.state.phase is not Phase.ENDED]

    def shown(self, pod: str) -> list[SlurmJob]:
        return [job for job in self.active(pod) if job.shown <= self.now()]

    # --- the remote scripts ---

    def written_by(self, epoch: int) -> None:
        if epoch < self.owner:
            raise Superseded("a newer sidecar has the site")

    def job_id(self, pod: str) -> str:
        claim = self.claims.get(pod, "")
        return claim if claim.isdigit() else self.ids.get(pod, "")

    async def submit(self, pod: str, payload: Payload, epoch: int) -> Submission:
        if pod in self.tombstones:
            return Deleted()
        if self.job_id(pod):
            return Submitted(self.job_id(pod))
        if pod in self.attempts:
            return await self.told(pod)
        self.written_by(epoch)
        if pod not in self.folders:
            if not payload:
                raise RemoteFailed("the pod's files could not be written at the site")
            self.folders[pod] = {}
        return await self.attempt(pod)

    async def told(self, pod: str) -> Submission:
        if pod in self.failed:
            return SbatchFailed(self.failed[pod])
        await asyncio.sleep(3)
        if self.job_id(pod):
            return Submitted(self.job_id(pod))
        return SbatchFailed(self.failed[pod]) if pod in self.failed else Attempted()

    async def attempt(self, pod: str) -> Submission:
        self.attempts.add(pod)
        mood = self.moods.popleft() if self.moods else "well"
        if mood == "killed before sbatch":
            raise OutcomeUnknown("the session was killed")
        await asyncio.sleep(self.sbatch_seconds)
        if mood in (FOR_NOW, FOR_GOOD):
            self.failed[pod] = mood
            return SbatchFailed(mood)
        job = SlurmJob(str(101 + len(self.jobs)), pod)
        self.jobs[job.id] = job
        if mood == LATE:
            job.shown = self.now() + 400
        if mood in ("killed after sbatch", LATE):
            raise OutcomeUnknown("the session was killed")
        if mood == TIMED_OUT:
            self.failed[pod] = mood
            return SbatchFailed(mood)
        if pod in self.folders:
            self.ids[pod] = job.id
        self.again.discard(pod)
        if pod in self.tombstones and job.state is JobState.PENDING:
            self.end(job, JobState.CANCELLED)
        return Submitted(job.id)

    async def withdraw(self, pod: str, epoch: int, *, keep_folder: bool) -> None:
        self.written_by(epoch)
        self.failed.pop(pod, None)
        if keep_folder:
            self.again.add(pod)
        else:
            self.remove(pod)
        self.attempts.discard(pod)

    async def void(self, pod: str, epoch: int) -> str:
        self.written_by(epoch)
        claim = self.claims.setdefault(pod, "void")
        return claim if claim.isdigit() else ""

    async def cancel(self, pods: Mapping[str, bool], grace: Mapping[str, int]) -> Cancelled:
        self.told_grace.update(grace)
        for pod in pods:
            self.tombstones.add(pod)
            self.claims.setdefault(pod, "deleted")
        gone = frozenset(pod for pod, force in pods.items() if self.cancel_one(pod, force=force))
        return Cancelled(gone, {pod: words for pod, words in self.stuck.items() if pod in pods})

    def cancel_one(self, pod: str, *, force: bool) -> bool:
        """Whether it is gone; a container that was told to stop takes a second."""
        for job in self.shown(pod):
            if job.state is JobState.PENDING or force:
                self.end(job, JobState.CANCELLED)
            else:
                asyncio.get_running_loop().call_later(1, self.stopped, job)
        if self.shown(pod) or pod in self.stuck:
            return False
        self.remove(pod)
        self.attempts.discard(pod)
        return True

    def stopped(self, job: SlurmJob) -> None:
        if job.state is JobState.RUNNING:
            self.finish(job, 143)

    def remove(self, pod: str) -> None:
        self.folders.pop(pod, None)
        self.ids.pop(pod, None)
        self.failed.pop(pod, None)
        self.again.discard(pod)

    async def queue(self) -> Queue:
        oldest = self.now() - self.min_job_age
        seen = (job for job in self.jobs.values() if job.state.phase is not Phase.ENDED or job.ended > oldest)
        jobs = (Job(job.id, job.state, "None", job.pod) for job in seen if job.shown <= self.now())
        return Queue(tuple(jobs), 0.0)

    async def sacct(self, job_ids: list[str]) -> list[Job]:
        if self.accounting != "on":
            raise RemoteFailed(f"sacct failed: Slurm accounting storage is {self.accounting}")
        return [Job(job.id, job.state) for job in map(self.jobs.__getitem__, job_ids)]

    async def records(self, epoch: int) -> list[Record]:
        self.written_by(epoch)
        return list(self.spool)

    async def settle(self, pods: Iterable[str]) -> Settled:
        known = [record for pod in pods for record in self.folders.get(pod, {}).values()]
        return Settled(tuple(known), frozenset(pod for pod in pods if pod not in self.folders))

    async def recover(self) -> tuple[Recovery, int]:
        self.owner += 1
        ids = self.ids | {pod: claim for pod, claim in self.claims.items() if claim.isdigit()}
        records = tuple(record for kept in self.folders.values() for record in kept.values())
        unfinished = frozenset(self.again | self.attempts)
        half_deleted = frozenset(self.tombstones & self.folders.keys())
        folders, tombstones = frozenset(self.folders), frozenset(self.tombstones)
        given_up = frozenset(pod for pod, claim in self.claims.items() if claim == "void")
        known = Recovery(folders, ids, tombstones, unfinished, records, half_deleted=half_deleted, given_up=given_up)
        return known, self.owner


@dataclass
class Line:
    """One sidecar's way to the account; `fates` come to the next calls, one each."""

    account: Account
    fates: deque[str] = field(default_factory=deque)
    down: bool = False
    dead: bool = False
    observer: Observer = field(default_factory=Observer)
    epoch: int = 0
    shared_fs: bool = True

    async def submit(self, pod: str, payload: Payload) -> Submission:
        return await self._run(partial(self.account.submit, pod, payload, self.epoch), 30)

    async def withdraw(self, pod: str, *, keep_folder: bool) -> None:
        await self._run(partial(self.account.withdraw, pod, self.epoch, keep_folder=keep_folder), 30)

    async def void(self, pod: str) -> str:
        return await self._run(partial(self.account.void, pod, self.epoch), 30)

    async def cancel(self, pods: Mapping[str, bool], grace: Mapping[str, int]) -> Cancelled:
        return await self._run(partial(self.account.cancel, pods, grace), 90)

    async def queue(self) -> Queue:
        return await self._run(self.account.queue, 75)

    async def records(self) -> list[Record]:
        records = await self._run(partial(self.account.records, self.epoch), 30)
        del self.account.spool[: len(records)]
        return records

    async def settle(self, pods: Iterable[str]) -> Settled:
        return await self._run(partial(self.account.settle, list(pods)), 30)

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        return await self._run(partial(self.account.sacct, list(job_ids)), 75)

    async def recover(self) -> Recovery:
        known, self.epoch = await self._run(self._take_over, 120)
        return known

    async def _take_over(self) -> tuple[Recovery, int]:
        if self.dead:  # then nobody would own the site, until the one that should is restarted
            raise OutcomeUnknown("it comes from a sidecar that is gone")
        return await self.account.recover()

    async def capacity(self) -> Capacity:
        return Capacity(nodes=1, cpus=8, memory_mib=1000)

    async def _run(self, script: Script, deadline: float) -> Any:
        fate = self.fates.popleft() if self.fates else "well"
        if self.down or fate == "not sent":
            raise Unreachable("it is down")
        if fate == "refused":
            raise AuthenticationRefused("the certificate has expired")
        await asyncio.sleep(ROUND_TRIP / 2)
        if fate == "cut before":
            raise OutcomeUnknown("the connection was cut")
        running = asyncio.ensure_future(self._later(script) if fate == "frozen" else script())
        if fate in ("cut after", "frozen"):
            running.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.sleep(deadline if fate == "frozen" else ROUND_TRIP / 2)
            raise OutcomeUnknown("no answer came")
        answer = await asyncio.shield(running)
        await asyncio.sleep(ROUND_TRIP / 2)
        return answer

    async def _later(self, script: Script) -> Any:
        """What was in a buffer when the network froze may arrive when nobody waits for it any more."""
        await asyncio.sleep(40)
        return await script()
