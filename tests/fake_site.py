"""A site in memory that implements `Site` as the real one does: attempts, fences, tombstones, and a network before it.

A `FakeAccount` is the state at the site, which outlives sidecars. A `FakeSite` is the way of one sidecar to it. An
operation that has arrived is carried out, even if the connection is cut before its reply. tests/site/test_contract.py
holds it to the behaviour of the real scripts.
"""

import asyncio
import io
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from remote_slurm.domain.exec_request import ExecRequest
from remote_slurm.domain.plan.job_array import ArrayOptions, ArrayTask
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.records import ContainerPhase, Reason, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_ids import is_job_id, is_task
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.slurm.partitions import Partition
from remote_slurm.domain.slurm.sinfo import Capacity
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.domain.status.no_log import NoLogReason
from remote_slurm.domain.submit_outcome import Attempted, Deleted, SbatchFailed, SubmitOutcome, Submitted
from remote_slurm.errors import (
    AuthenticationRefused,
    Code,
    OutcomeUnknown,
    PortUnreachable,
    RemoteFailed,
    SlurmFailed,
    Superseded,
    Unreachable,
)
from remote_slurm.site.operations.abandon import Abandoned
from remote_slurm.site.operations.delete import DeleteResult
from remote_slurm.site.operations.describe import PodFolder
from remote_slurm.site.operations.exec import ExecRefused
from remote_slurm.site.operations.inspect_pods import Inspection
from remote_slurm.site.operations.list import Listed
from remote_slurm.site.operations.log import NoLog, OpenLog
from remote_slurm.site.operations.queue import Queue
from remote_slurm.site.operations.records import OtherSidecars
from remote_slurm.site.operations.recover import Recovery
from remote_slurm.site.operations.release import Released, ReleaseDecision
from remote_slurm.site.operations.sinfo import SinfoOutput
from remote_slurm.site.site import OWN_GRACE, ExecSession, PortStream, Site, StepListener
from remote_slurm.ssh.connection import ConnectionState
from remote_slurm.ssh.observer import Observer
from remote_slurm.ssh.sessions import ConnectionStatus
from tests.local_command import LocalCommand, started

ROUND_TRIP = 0.05
SBATCH = 0.2
TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
FOR_NOW = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
FOR_GOOD = "sbatch: error: invalid partition specified: gold"
LATE = "killed after sbatch, and its job is shown late"
CONTAINER = "c"

_T = TypeVar("_T")
_CONNECTION = ConnectionState(connected=True, host="login1", since=0, last_error="", retry_in=0, connects=2, failures=1)
_PARTITION = Partition("main", is_default=True, is_up=True, cpus=8, free=3, nodes=1, time_limit="1:00", gres="")
_STATUS = ConnectionStatus(_CONNECTION, round_trip=ROUND_TRIP, sessions_in_use=1, sessions_limit=8)


@dataclass
class SlurmJob:
    id: str
    pod: str
    state: JobState = JobState.PENDING
    reason: str = "None"
    ended: float = 0.0
    shown: float = 0.0  # from when on squeue lists it
    node: str = ""
    submitted: int | None = None
    start: int | None = None
    end_time: int | None = None
    partition: str = ""
    vanished: bool = False

    @property
    def is_held(self) -> bool:
        return self.reason == "JobHeldUser"


@dataclass
class FakeAccount:
    """The folders of one account, and its Slurm; `now` is its clock."""

    now: Callable[[], float] = time.monotonic
    folders: dict[str, dict[str, Record]] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    failed: dict[str, SbatchFailed] = field(default_factory=dict)
    attempts: dict[str, float] = field(default_factory=dict)  # when sbatch was called
    fences: dict[str, str] = field(default_factory=dict)
    tombstones: set[str] = field(default_factory=set)
    spool: list[Record] = field(default_factory=list)
    jobs: dict[str, SlurmJob] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)  # what containers really ended with
    moods: deque[str] = field(default_factory=deque)
    arrays: bool = False  # like pods that come within a moment are one array
    gathering: dict[tuple[ArrayOptions, int], tuple[list[str], asyncio.Future[dict[str, SubmitOutcome]]]] = field(
        default_factory=dict
    )
    owner: int = 0
    beats: int = 0  # of its owner
    notes: int = 0  # that older sidecars left in the spool
    read_notes: int = 0
    min_job_age: float = 300.0  # squeue forgets a job so long after its end
    accounting: str = "disabled"  # or "on", or "away" where its slurmdbd is
    sbatch_seconds: float = SBATCH
    told_grace: dict[str, int] = field(default_factory=dict)
    stuck: dict[str, str] = field(default_factory=dict)  # pods whose folders cannot be removed, and why
    secrets: set[str] = field(default_factory=set)  # pods whose Secrets are in their folders
    logs: dict[str, bytes] = field(default_factory=dict)  # of the container, by pod
    outputs: dict[str, bytes] = field(default_factory=dict)  # what Slurm and the runner printed, by pod
    listed: dict[str, Listed] = field(default_factory=dict)  # pods whose folders tell more than a name
    specs: dict[str, dict[str, object]] = field(default_factory=dict)  # the descriptions in the scripts of pods
    full: str = ""  # what a command prints that writes to the file system, if it is full
    squeue_fails: str = ""
    squeue_seconds: float = 0.0  # how long a squeue of all jobs takes
    squeue_waits_for: asyncio.Event | None = None  # what a squeue of one job replies after
    sinfo_fails: str = ""
    resources: str = "{}"  # what ResourceScriptPath prints
    resource_script_fails: bool = False
    capacity: Capacity = field(default_factory=Capacity)
    partitions: list[Partition] = field(default_factory=lambda: [_PARTITION])
    ports: dict[tuple[str, int], int] = field(default_factory=dict)  # a port of a node -> the one of this machine
    loopback_ports: dict[tuple[str, int], int] = field(default_factory=dict)  # those that only the node itself reaches
    forwards: Code | None = None  # why the login node reaches no port, if it does not
    relay: str = "perl"  # the program that forwards connections on nodes
    steps_fail: str = ""  # srun's words, if it starts no step
    exec_refusals: dict[str, str] = field(default_factory=dict)  # why containers run no commands
    commands: list[LocalCommand] = field(default_factory=list)  # of clients

    def add(self, job: SlurmJob, *records: Record) -> None:
        """A pod whose job an earlier sidecar has submitted."""
        if job.state.phase is JobPhase.ENDED:
            job.ended = self.now()
        self.jobs[job.id] = job
        self.ids[job.pod] = job.id
        self.folders[job.pod] = {record.container: record for record in records}
        self.spool += records

    # --- Slurm and the runner ---

    def start(self, job: SlurmJob) -> None:
        """The job's first act is to fence the pod; only then containers run."""
        job.state, job.node = JobState.RUNNING, job.node or "n1"
        if job.pod in self.tombstones or self.fences.setdefault(job.pod, job.id) != job.id:
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
        own = Reason.ERROR if code else Reason.COMPLETED
        node = next((job.node for job in self.jobs.values() if job.pod == pod and job.node), "")
        record = Record(pod, CONTAINER, phase, moment, ended, code, 0, reason=own if ended else "", node=node)
        if pod in self.folders:
            self.folders[pod][CONTAINER] = record
        self.spool.append(record)

    def end(self, job: SlurmJob, state: JobState) -> None:
        job.state, job.ended = state, self.now()

    def active(self, pod: str) -> list[SlurmJob]:
        return [job for job in self.jobs.values() if job.pod == pod and job.state.phase is not JobPhase.ENDED]

    def shown(self, pod: str) -> list[SlurmJob]:
        return [job for job in self.active(pod) if job.shown <= self.now()]

    # --- the remote scripts ---

    def written_by(self, epoch: int) -> None:
        if self.is_superseded(epoch):
            raise Superseded("a newer sidecar owns DataRootFolder")

    def is_superseded(self, epoch: int) -> bool:
        """A guest has no epoch."""
        return 0 < epoch < self.owner

    def job_id(self, pod: str) -> str:
        fence = self.fences.get(pod, "")
        return fence if is_job_id(fence) else self.ids.get(pod, "")

    async def submit(self, pod: str, payload: Payload, epoch: int) -> SubmitOutcome:
        if pod in self.tombstones:
            return Deleted()
        if self.job_id(pod):
            return Submitted(self.job_id(pod))
        if pod in self.attempts:
            return await self.outcome_of_attempt(pod)
        older = self.is_superseded(epoch)
        if older and pod in self.again:
            self.written_by(epoch)
        self.notes += older
        if pod not in self.folders:
            if not payload or self.full:
                code = Code.NO_SPACE if self.full else None
                raise RemoteFailed(f"the pod's files could not be written at the site: {self.full}", code=code)
            self.folders[pod] = {}
            self.secrets.add(pod)
        outcome = await self.attempt(pod, payload.task)
        self.notes += older
        return outcome

    async def outcome_of_attempt(self, pod: str) -> SubmitOutcome:
        if pod in self.failed:
            return self.failed[pod]
        await asyncio.sleep(3)
        if self.job_id(pod):
            return Submitted(self.job_id(pod))
        return self.failed.get(pod, Attempted())

    async def attempt(self, pod: str, task: ArrayTask | None) -> SubmitOutcome:
        """One sbatch for all that come within a moment, as a script submits them together."""
        if task is None or task.most == 1 or not self.arrays:
            return (await self.sbatch([pod]))[pod]
        group = task.options, task.most
        if group not in self.gathering:
            members: list[str] = []
            self.gathering[group] = members, asyncio.ensure_future(self.sbatch_for_group(group, members))
        members, outcomes = self.gathering[group]
        if pod not in members:
            members.append(pod)
        return (await asyncio.shield(outcomes))[pod]

    async def sbatch_for_group(self, group: tuple[ArrayOptions, int], members: list[str]) -> dict[str, SubmitOutcome]:
        await asyncio.sleep(0.005)
        del self.gathering[group]
        deleted = [pod for pod in members if pod in self.tombstones]
        for pod in deleted:
            self.remove(pod)
        known: dict[str, SubmitOutcome] = {pod: Attempted() for pod in members if pod in self.attempts}
        ready = [pod for pod in members if pod not in deleted and pod not in known]
        return known | dict.fromkeys(deleted, Deleted()) | (await self.sbatch(ready) if ready else {})

    async def sbatch(self, pods: list[str]) -> dict[str, SubmitOutcome]:
        self.attempts |= dict.fromkeys(pods, self.now())
        mood = self.moods.popleft() if self.moods else "well"
        if mood == "killed before sbatch":
            raise OutcomeUnknown("the session was killed")
        await asyncio.sleep(self.sbatch_seconds)
        failed = SbatchFailed.from_stderr(mood, len(pods))
        if mood in (FOR_NOW, FOR_GOOD):
            self.failed |= dict.fromkeys(pods, failed)
            return dict.fromkeys(pods, failed)
        whole = str(101 + len(self.jobs))
        ids = [whole] if len(pods) == 1 else [f"{whole}_{task}" for task in range(len(pods))]
        jobs = [SlurmJob(job_id, pod) for job_id, pod in zip(ids, pods, strict=True)]
        self.jobs |= {job.id: job for job in jobs}
        for job in jobs:
            if mood == LATE:
                job.shown = self.now() + 400
        if mood in ("killed after sbatch", LATE):
            raise OutcomeUnknown("the session was killed")
        if mood == TIMED_OUT:
            self.failed |= dict.fromkeys(pods, failed)
            return dict.fromkeys(pods, failed)
        for job in jobs:
            if job.pod in self.folders:
                self.ids[job.pod] = job.id
            self.again.discard(job.pod)
            if job.pod in self.tombstones and job.state is JobState.PENDING:
                self.cancel(job)
        return {job.pod: Submitted(job.id) for job in jobs}

    def cancel(self, job: SlurmJob) -> None:
        """A task that waits vanishes: neither squeue nor sacct has it any more."""
        job.vanished = job.state is JobState.PENDING and is_task(job.id)
        self.end(job, JobState.CANCELLED)

    async def try_store(self) -> None:
        if self.full:
            raise RemoteFailed(f"DataRootFolder /root cannot be written: {self.full}", code=Code.NO_SPACE)

    async def withdraw(self, pod: str, epoch: int, *, keep_folder: bool) -> None:
        self.written_by(epoch)
        self.failed.pop(pod, None)
        if keep_folder:
            self.again.add(pod)
        else:
            self.remove(pod)
        self.attempts.pop(pod, None)

    async def abandon(self, pod: str, epoch: int) -> Abandoned:
        self.written_by(epoch)
        fence = self.fences.setdefault(pod, "void")
        return Abandoned(fence if is_job_id(fence) else "")

    async def close_fences(self, pods: list[str], epoch: int) -> frozenset[str]:
        self.written_by(epoch)
        return frozenset(pod for pod in pods if self.fences.setdefault(pod, "cancelled") == "cancelled")

    async def delete(self, pods: Mapping[str, bool], grace: Mapping[str, int], epoch: int) -> DeleteResult:
        self.notes += self.is_superseded(epoch)
        self.told_grace.update(grace)
        for pod in pods:
            self.tombstones.add(pod)
            self.fences.setdefault(pod, "deleted")
        if self.squeue_fails:
            raise SlurmFailed(self.squeue_fails, command="squeue")
        gone = frozenset(pod for pod, force in pods.items() if self.cancel_one(pod, force=force))
        return DeleteResult(gone, {pod: words for pod, words in self.stuck.items() if pod in pods})

    def cancel_one(self, pod: str, *, force: bool) -> bool:
        """Whether it is gone; a container that was signalled takes a second."""
        for job in self.shown(pod):
            if job.state is JobState.PENDING or force:
                self.cancel(job)
            else:
                asyncio.get_running_loop().call_later(1, self.stopped, job)
        if self.shown(pod) or pod in self.stuck:
            return False
        self.remove(pod)
        self.attempts.pop(pod, None)
        return True

    def stopped(self, job: SlurmJob) -> None:
        if job.state is JobState.RUNNING:
            self.finish(job, 143)

    def remove(self, pod: str) -> None:
        self.folders.pop(pod, None)
        self.secrets.discard(pod)
        self.ids.pop(pod, None)
        self.failed.pop(pod, None)
        self.again.discard(pod)

    async def queue(self) -> Queue:
        await asyncio.sleep(self.squeue_seconds)
        if self.squeue_fails:
            raise SlurmFailed(self.squeue_fails, command="squeue")
        oldest = self.now() - self.min_job_age
        seen = (job for job in self.jobs.values() if job.state.phase is not JobPhase.ENDED or job.ended > oldest)
        listed = tuple(_listed(job) for job in seen if job.shown <= self.now() and not job.vanished)
        return Queue(listed, 0.0, seconds=self.squeue_seconds)

    async def one_job(self, job_id: str) -> Job | None:
        if self.squeue_waits_for:
            await self.squeue_waits_for.wait()
        listed = {job.id: job for job in (await self.queue()).jobs}
        return listed.get(job_id)

    async def run_resource_script(self) -> str:
        if self.resource_script_fails:
            raise RemoteFailed(
                "ResourceScriptPath /r ended with exit code 3 (to people): run it as the account at the site"
            )
        return self.resources

    async def sinfo(self) -> Capacity:
        if self.sinfo_fails:
            raise SlurmFailed(self.sinfo_fails, command="sinfo")
        return self.capacity

    async def sacct(self, job_ids: list[str]) -> list[Job]:
        if self.accounting != "on":
            code = Code.ACCOUNTING_DISABLED if self.accounting == "disabled" else None
            raise SlurmFailed(
                f"sacct failed: Slurm accounting storage is {self.accounting}", command="sacct", code=code
            )
        jobs = map(self.jobs.__getitem__, job_ids)
        return [Job(job.id, job.state, origin=f"sbatch /root/{job.pod}/job.sh") for job in jobs if not job.vanished]

    async def records(self, epoch: int, *, early: bool) -> tuple[list[Record], str | None, int]:
        """The records, the newer owner's mark, and how many notes older sidecars have left."""
        if self.is_superseded(epoch):
            return list(self.spool), f"{self.owner} {self.beats}", 0
        self.beats += epoch > 0 and not early
        return list(self.spool), None, self.notes

    async def inspect_pods(self, pods: Iterable[str]) -> Inspection:
        known = [record for pod in pods for record in self.folders.get(pod, {}).values()]
        fences = {pod: job_id for pod in pods if is_job_id(job_id := self.fences.get(pod, ""))}
        return Inspection(tuple(known), fences)

    async def recover(self) -> tuple[Recovery, int]:
        self.owner += 1
        return await self.survey(), self.owner

    async def survey(self) -> Recovery:
        ids = self.ids | {pod: fence for pod, fence in self.fences.items() if is_job_id(fence)}
        records = tuple(record for kept in self.folders.values() for record in kept.values())
        unfinished = frozenset(self.again | self.attempts.keys())
        half_deleted = frozenset(self.tombstones & self.folders.keys())
        folders, tombstones = frozenset(self.folders), frozenset(self.tombstones)
        given_up = frozenset(pod for pod, fence in self.fences.items() if fence == "void")
        return Recovery(
            folders,
            ids,
            tombstones,
            unfinished,
            records,
            half_deleted=half_deleted,
            given_up=given_up,
            cancelled=frozenset(pod for pod, fence in self.fences.items() if fence == "cancelled"),
            attempted=dict(self.attempts),
        )

    async def release(self, jobs: Iterable[tuple[str, str, ReleaseDecision]], epoch: int) -> Released:
        self.written_by(epoch)
        for pod, job_id, decision in jobs:
            wanted, job = decision is ReleaseDecision.YES, self.jobs[job_id]
            fence = self.fences.setdefault(pod, job_id) if wanted else self.fences.get(pod, job_id)
            forgotten = decision is ReleaseDecision.NEVER and pod not in self.folders
            if fence != job_id or pod in self.tombstones or forgotten:
                self.end(job, JobState.CANCELLED)
            elif wanted and job.is_held:
                job.reason = "None"
        return Released(frozenset(job_id for _, job_id, _ in jobs))

    async def fetch(self, pod: str, epoch: int) -> bool:
        self.written_by(epoch)
        return pod in self.folders

    async def output_files(self, job_ids: Iterable[str]) -> dict[str, str]:
        jobs = (self.jobs[job_id] for job_id in job_ids if job_id in self.jobs)
        return {job.id: f"/root/{job.pod}/job-{job.id}.out" for job in jobs}

    async def list_pods(self) -> list[Listed]:
        return [self.listed.get(pod) or self.listing(pod) for pod in self.folders]

    async def describe(self, pod: str) -> PodFolder | None:
        if pod not in self.folders:
            return None
        files = tuple((f"logs/{CONTAINER}", len(text)) for key, text in self.logs.items() if key == pod)
        seconds = 0 if pod in self.ids else None
        return PodFolder(f"/root/{pod}", self.specs.get(pod, {}), seconds, seconds, files)

    def listing(self, pod: str) -> Listed:
        age = 0 if pod in self.ids else None
        return Listed(pod, pod, 30, (), (), self.job_id(pod), age, tuple(self.folders[pod].values()))

    async def open_log(self, what: LogSlice, *, over: bool) -> OpenLog | NoLog:
        if what.pod not in self.folders:
            return NoLog(NoLogReason.NO_FOLDER)
        if what.previous:
            return NoLog(NoLogReason.NO_PREVIOUS_RUN)
        record = self.folders[what.pod].get(what.container)
        ended = over or (record is not None and record.phase is ContainerPhase.TERMINATED)
        if what.pod not in self.logs and not ended:
            return NoLog(NoLogReason.WAITING)
        text = self.logs.get(what.pod, self.outputs.get(what.pod, b""))
        end = text if what.tail_bytes is None else text[-what.tail_bytes :]
        last = b"" if what.lines == 0 else b"".join(io.BytesIO(end).readlines()[-(what.lines or len(text)) :])
        start = max(what.offset or 0, len(text) - len(last))
        length = len(text) if ended and what.follow else None
        return OpenLog(start, [], _piece(text[start:][: what.limit_bytes]), length, "0.0" if record else "")


async def _piece(text: bytes) -> AsyncGenerator[bytes, None]:
    if text:
        yield text


@dataclass
class FakeSite(Site):
    """One sidecar's way to the account; `fates` come to the next operations, one each."""

    account: FakeAccount = field(default_factory=FakeAccount)
    fates: deque[str] = field(default_factory=deque)
    down: bool = False
    dead: bool = False
    owner: bool = True
    observer: Observer = field(default_factory=Observer)
    epoch: int = 0
    reports_in_comment: bool = False
    other_sidecars: OtherSidecars = field(default_factory=OtherSidecars)
    round_trip: float = ROUND_TRIP
    asked: Counter[str] = field(default_factory=Counter)  # operations, by name
    steps: set[str] = field(default_factory=set)  # jobs with a step that forwards connections

    @property
    def connection_status(self) -> ConnectionStatus:
        return _STATUS

    async def submit(self, pod: str, payload: Payload) -> SubmitOutcome:
        return await self._run("submit", partial(self.account.submit, pod, payload, self.epoch))

    async def withdraw(self, pod: str, *, keep_folder: bool) -> None:
        await self._run("withdraw", partial(self.account.withdraw, pod, self.epoch, keep_folder=keep_folder))

    async def abandon(self, pod: str) -> Abandoned:
        return await self._run("abandon", partial(self.account.abandon, pod, self.epoch))

    async def close_fences(self, pods: Iterable[str]) -> frozenset[str]:
        return await self._run("close_fences", partial(self.account.close_fences, list(pods), self.epoch))

    async def release(self, jobs: Iterable[tuple[str, str, ReleaseDecision]]) -> Released:
        return await self._run("release", partial(self.account.release, tuple(jobs), self.epoch))

    async def fetch(self, pod: str, node: NodeFolder) -> bool:  # noqa: ARG002 - there is only one folder
        return await self._run("fetch", partial(self.account.fetch, pod, self.epoch), 700)

    async def delete(self, pods: Mapping[str, bool], grace: Mapping[str, int] = OWN_GRACE) -> DeleteResult:
        return await self._run("delete", partial(self.account.delete, pods, grace, self.epoch), 90)

    async def queue(self) -> Queue:
        return await self._run("queue", self.account.queue, 75)

    async def job(self, job_id: str) -> Job | None:
        return await self._run("job", partial(self.account.one_job, job_id))

    async def open_port(self, node: str, port: int) -> PortStream:
        return await self._run("port", partial(self._connect, node, port))

    async def _connect(self, node: str, port: int) -> PortStream:
        if self.account.forwards:
            raise PortUnreachable("the login node forwards nothing", code=self.account.forwards)
        if (node, port) not in self.account.ports:
            raise PortUnreachable(f"cannot connect to {node} port {port}", code=Code.CONNECT_FAILED)
        return LocalStream(*await asyncio.open_connection("127.0.0.1", self.account.ports[node, port]))

    async def open_port_in_job(self, job_id: str, node: str, port: int) -> PortStream:
        return await self._run("port_in_job", partial(self._connect_in_job, job_id, node, port))

    async def _connect_in_job(self, job_id: str, node: str, port: int) -> PortStream:
        if self.account.steps_fail:
            raise PortUnreachable(self.account.steps_fail, code=Code.NO_RELAY)
        self.steps.add(job_id)
        ports = self.account.ports | self.account.loopback_ports
        if (node, port) not in ports:
            raise PortUnreachable(f"nothing listens on port {port} of {node}", code=Code.CONNECT_FAILED)
        return LocalStream(*await asyncio.open_connection("127.0.0.1", ports[node, port]))

    async def open_port_in_step(self, job_id: str, node: str, port: int) -> PortStream | None:
        if job_id not in self.steps or self.account.jobs[job_id].state is not JobState.RUNNING:
            return None
        return await self._run("port_in_step", partial(self._connect_in_job, job_id, node, port))

    async def listen_in_job(self, job_id: str, node: str) -> StepListener:
        if self.account.steps_fail:
            raise PortUnreachable(self.account.steps_fail, code=Code.NO_RELAY)
        if (program := self.account.relay) in ("socat", "nc", "bash"):
            return StepListener(program, None)
        self.steps.add(job_id)
        return StepListener(program, next(port for of, port in self.account.ports if of == node))

    def has_step_in(self, job_id: str) -> bool:
        return job_id in self.steps

    async def exec(self, pod: str, job_id: str, request: ExecRequest, node: NodeFolder | None = None) -> ExecSession:  # noqa: ARG002 - there is only one folder
        return await self._run("exec", partial(self._exec, request))

    async def _exec(self, request: ExecRequest) -> ExecSession:
        if refusal := self.account.exec_refusals.get(request.container):
            raise ExecRefused(refusal)
        self.account.commands.append(await started(request))
        return self.account.commands[-1]

    async def outputs(self, job_ids: Iterable[str]) -> dict[str, str]:
        return await self._run("outputs", partial(self.account.output_files, tuple(job_ids)), 45)

    async def records(self, ended: Iterable[str] = (), *, early: bool = False) -> list[Record]:
        before = self.other_sidecars
        self.other_sidecars = replace(before, newer_mark=None if before.newer_mark is None else "")
        records, mark, notes = await self._run("records", partial(self.account.records, self.epoch, early=early))
        self.other_sidecars = OtherSidecars(mark, before.older_acted or notes > self.account.read_notes)
        if mark is None and self.owner:
            del self.account.spool[: len(records)]
            self.account.read_notes = notes
            self.account.secrets -= set(ended)
        return records

    async def inspect_pods(self, pods: Iterable[str]) -> Inspection:
        return await self._run("inspect_pods", partial(self.account.inspect_pods, list(pods)))

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        return await self._run("accounting", partial(self.account.sacct, list(job_ids)), 75)

    async def recover(self) -> Recovery:
        known, self.epoch = await self._run("recover", self._take_over, 120)
        self.other_sidecars = OtherSidecars()
        return known

    async def survey(self) -> Recovery:
        known = await self._run("recover", self.account.survey, 120)
        self.other_sidecars = replace(self.other_sidecars, older_acted=False)
        return self._of_owner(known)

    async def _take_over(self) -> tuple[Recovery, int]:
        if self.dead:  # then no sidecar would own the site until the owner is restarted
            raise OutcomeUnknown("it comes from a sidecar that is gone")
        if not self.owner:
            return self._of_owner(await self.account.survey()), 0
        return await self.account.recover()

    def _of_owner(self, known: Recovery) -> Recovery:
        return known if self.owner else replace(known, half_deleted=frozenset())

    async def try_store(self) -> None:
        await self._run("try_store", self.account.try_store)

    async def tend_libraries(self) -> None:
        await self._run("tend_libraries", self._tended)

    async def _tended(self) -> None:
        if self.account.is_superseded(self.epoch):
            raise Superseded("a newer sidecar owns DataRootFolder")

    async def capacity(self) -> Capacity:
        return await self._run("nodes", self.account.sinfo)

    async def partitions(self) -> list[Partition]:
        return await self._run("partitions", partial(_returned, self.account.partitions))

    async def list_pods(self) -> list[Listed]:
        return await self._run("list", self.account.list_pods)

    async def describe(self, pod: str) -> PodFolder | None:
        return await self._run("describe", partial(self.account.describe, pod))

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog | NoLog:  # noqa: ARG002 - there is only one folder
        return await self._run("log", partial(self.account.open_log, what, over=over))

    async def resources(self) -> str:
        return await self._run("resources", self.account.run_resource_script)

    async def sinfo(self) -> SinfoOutput:
        failure = self.account.sinfo_fails
        return await self._run(
            "sinfo", partial(_returned, SinfoOutput("" if failure else "PARTITION AVAIL\n", failure))
        )

    async def _run(self, name: str, script: Callable[[], Awaitable[_T]], deadline: float = 30) -> _T:
        self.asked[name] += 1
        with self.observer.operation(name):
            fate = self.fates.popleft() if self.fates else "well"
            if self.down or fate == "not sent":
                raise Unreachable("no route to the site")
            if fate == "refused":
                raise AuthenticationRefused("the certificate has expired")
            await asyncio.sleep(self.round_trip / 2)
            if fate == "cut before":
                raise OutcomeUnknown("the connection was cut")
            running = asyncio.ensure_future(self._later(script) if fate == "frozen" else script())
            if fate in ("cut after", "frozen"):
                running.add_done_callback(lambda done: done.cancelled() or done.exception())
                await asyncio.sleep(deadline if fate == "frozen" else self.round_trip / 2)
                raise OutcomeUnknown("no answer came")
            answer = await asyncio.shield(running)
            await asyncio.sleep(self.round_trip / 2)
            return answer

    async def _later(self, script: Callable[[], Awaitable[_T]]) -> _T:
        """What was in a buffer when the network froze may arrive when no request waits for it any more."""
        await asyncio.sleep(40)
        return await script()


def _listed(job: SlurmJob) -> Job:
    return Job(
        job.id,
        job.state,
        job.reason,
        job.pod,
        job.start,
        node=job.node,
        submitted=job.submitted,
        partition=job.partition,
        end=job.end_time,
    )


class LocalStream(PortStream):
    """A connection to a port of this machine, as if it were one of a node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._closed = asyncio.Event()

    async def read(self) -> bytes:
        try:
            data = await self._reader.read(65536)
        except OSError as error:
            raise OutcomeUnknown("the connection to the port was lost") from error
        if not data and self._closed.is_set():
            raise OutcomeUnknown("the connection to the port was lost")
        return data

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise OutcomeUnknown("the connection to the port was closed by the other side") from error

    async def write_eof(self) -> None:
        self._writer.write_eof()

    async def wait_closed(self) -> None:
        await self._closed.wait()  # TCP does not tell what the other side has closed

    def close(self) -> None:
        self._closed.set()
        self._writer.close()


async def _returned(value: _T) -> _T:
    return value


def instant_site(*jobs: SlurmJob) -> FakeSite:
    """A site with these jobs that replies at once."""
    site = FakeSite(FakeAccount(sbatch_seconds=0), round_trip=0)
    for job in jobs:
        site.account.add(job)
    return site
