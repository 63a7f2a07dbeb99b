"""A site over SSH: each operation is a script at the login node."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from remote_slurm.config import Config, JobArrays
from remote_slurm.domain.exec_request import ExecRequest
from remote_slurm.domain.plan.job_array import ArrayOptions
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.records import Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_ids import task_number
from remote_slurm.domain.slurm.partitions import Partition
from remote_slurm.domain.slurm.sinfo import Capacity
from remote_slurm.domain.slurm.squeue import ARRAYS, PodOfTask, array_of_path
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.domain.submit_outcome import SbatchFailed, SubmitOutcome, Submitted
from remote_slurm.errors import NotSent, PortUnreachable, RemoteFailed, SlurmFailed
from remote_slurm.site.array_limit import ArrayLimit
from remote_slurm.site.array_tables import ArrayTables
from remote_slurm.site.batcher import Batch, Batcher
from remote_slurm.site.operation import Operation
from remote_slurm.site.operations import (
    abandon,
    accounting,
    array_tables,
    close_fences,
    delete,
    describe,
    fetch,
    find_job,
    inspect_pods,
    log,
    nodes,
    outputs,
    queue,
    recover,
    release,
    resources,
    sinfo,
    submit,
    tend_libraries,
    try_store,
    withdraw,
)
from remote_slurm.site.operations import exec as execution
from remote_slurm.site.operations import list as listing
from remote_slurm.site.operations.abandon import Abandoned
from remote_slurm.site.operations.delete import DeleteResult
from remote_slurm.site.operations.describe import PodFolder
from remote_slurm.site.operations.exec import CommandChannel
from remote_slurm.site.operations.inspect_pods import Inspection
from remote_slurm.site.operations.list import Listed
from remote_slurm.site.operations.log import NoLog, OpenLog
from remote_slurm.site.operations.queue import Queue, QueueReader
from remote_slurm.site.operations.records import OtherSidecars, SpoolReader
from remote_slurm.site.operations.recover import Recovered, Recovery
from remote_slurm.site.operations.release import Released, ReleaseDecision
from remote_slurm.site.operations.sinfo import SinfoOutput
from remote_slurm.site.pod_replies import PodReplies
from remote_slurm.site.port_relays import PortRelays
from remote_slurm.site.reply import Reply
from remote_slurm.site.site import OWN_GRACE, ExecSession, PortStream, Site, StepListener
from remote_slurm.ssh.observer import Observer
from remote_slurm.ssh.sessions import ConnectionStatus, OnOutput, Request, Result

_T = TypeVar("_T")
_EXPIRE_SECONDS = 600  # what expires does so after an hour, or a day


class Shells(Protocol):
    """What a site needs of `ssh.sessions.Sessions`."""

    @property
    def connection_status(self) -> ConnectionStatus: ...

    async def run(self, request: Request, *, deadline: float, on_output: OnOutput | None = None) -> Result: ...

    def stream(self, script: str, *, followed: bool = True) -> AsyncGenerator[bytes, None]: ...


class Ports(Protocol):
    """What a site needs of `ssh.port_channels.PortChannels`."""

    async def open(self, host: str, port: int) -> PortStream: ...

    async def attach(self, script: str) -> PortStream: ...


class Commands(Protocol):
    """What a site needs of `ssh.command_channels.CommandChannels`."""

    async def open(self, script: str, terminal: tuple[int, int] | None = None) -> CommandChannel: ...


class RemoteSite(Site):
    """See `Site` for what each operation promises."""

    def __init__(
        self,
        shells: Shells,
        config: Config,
        observer: Observer | None = None,
        *,
        owner: bool = False,
        ports: Ports | None = None,
        commands: Commands | None = None,
    ) -> None:
        """The `owner` of DataRootFolder takes it over when it recovers; others, such as a command line, are guests."""
        self.observer = observer or Observer()
        self._ports = ports
        self._relays = PortRelays(ports.attach, config) if ports else None
        self._commands = commands
        self._shells = shells
        self._config = config
        self._owner = owner
        self._submissions: Batcher[Payload, SubmitOutcome] = Batcher(self._submit)
        # one is under way while others gather: they come as fast as Slurm refuses
        self._withdrawals: Batcher[bool, bool] = Batcher(self._withdraw, runs=1)
        self._expired: float | None = None
        self._queue = QueueReader()
        self._spool = SpoolReader()
        self._tables = ArrayTables()
        self._array_limit = ArrayLimit(enabled=config.job_arrays is not JobArrays.OFF)
        self._name = secrets.token_hex(6)
        self._epoch = ""
        self._libraries: frozenset[str] = frozenset()  # those that the site has, by its last reply
        self._roots: tuple[str, ...] = ()  # paths of DataRootFolder: as configured, and without links
        self.reports_in_comment = file_transfer(config).reports_in_comment
        self.other_sidecars = OtherSidecars()

    @property
    def connection_status(self) -> ConnectionStatus:
        return self._shells.connection_status

    # --- submit ---

    async def submit(self, pod: str, payload: Payload) -> SubmitOutcome:
        with self.observer.operation("submit", pod):
            outcome = await self._submissions.ask(pod, payload, len(payload), self._array_of(payload))
        if isinstance(outcome, SbatchFailed):
            self.observer.slurm_failed("sbatch")
            self._array_limit.failed(outcome)
        elif isinstance(outcome, Submitted) and payload.task:
            self._array_limit.accepted_smaller(than=payload.task.refused)
        return outcome

    def _array_of(self, payload: Payload) -> tuple[ArrayOptions, int] | None:
        most = payload.task.max_tasks(self._array_limit.most_tasks) if payload.task else 1
        return (payload.task.options, most) if payload.task and most > 1 else None

    async def _submit(self, batch: Batch[Payload, SubmitOutcome]) -> None:
        """Send the libraries that the site is not known to have, and then once more those that it lacks."""
        needed = frozenset(each.library for each in batch.payloads.values() if each.library)
        lacking = await self._send_batch(batch, needed, needed - self._libraries)
        if lacking:
            await self._send_batch(batch, needed, lacking)

    async def _send_batch(
        self, batch: Batch[Payload, SubmitOutcome], needed: frozenset[str], sent: frozenset[str]
    ) -> frozenset[str]:
        replies: PodReplies[SubmitOutcome] = PodReplies(submit.outcome)
        operation = submit.operation(self._config, batch.payloads, sent, self._array_limit.most_tasks)
        reply = await self._run(operation, lambda data: batch.answer(replies.feed(data)))
        lacking = frozenset(operation.parse(reply))
        self._libraries = (self._libraries | needed) - lacking
        return lacking

    async def withdraw(self, pod: str, *, keep_folder: bool) -> None:
        with self.observer.operation("withdraw", pod):
            await self._withdrawals.ask(pod, keep_folder)

    async def _withdraw(self, batch: Batch[bool, bool]) -> None:
        replies = PodReplies(withdraw.is_done)
        await self._run(withdraw.operation(batch.payloads), lambda data: batch.answer(replies.feed(data)))

    async def abandon(self, pod: str) -> Abandoned:
        return await self.ask(abandon.operation(self._config, pod))

    async def close_fences(self, pods: Iterable[str]) -> frozenset[str]:
        return await self.ask(close_fences.operation(pods))

    async def release(self, jobs: Iterable[tuple[str, str, ReleaseDecision]]) -> Released:
        return await self.ask(release.operation(self._config, jobs))

    async def fetch(self, pod: str, node: NodeFolder) -> bool:
        return await self.ask(fetch.operation(self._config, pod, node))

    async def delete(self, pods: Mapping[str, bool], grace: Mapping[str, int] = OWN_GRACE) -> DeleteResult:
        now = time.monotonic()
        expires = self._expired is None or now - self._expired > _EXPIRE_SECONDS
        result = await self.ask(delete.operation(self._config, pods, grace, expires=expires))
        self._expired = now if expires else self._expired
        return result

    # --- poll ---

    async def queue(self) -> Queue:
        reply = await self._read_queue() or await self._read_queue()
        if reply is None:
            raise RemoteFailed("the reply of squeue does not have as many lines as squeue printed")
        arrays = self._queue.arrays(self._roots)
        pod_of_task = await self._pods_of(arrays)
        self._tables.keep(arrays)
        return await self._queue.read(reply, self._roots, pod_of_task)

    async def _read_queue(self) -> Reply | None:
        """None if only changes were sent that do not fit the last reply."""
        reply = await self.ask(self._queue.operation(self._config, root_is_known=bool(self._roots)))
        return reply if self._queue.take(reply) else None

    async def _pods_of(self, arrays: Iterable[str]) -> PodOfTask:
        """Return the function that names the pods of these arrays.

        The site is asked for tables of arrays that another sidecar has submitted, or this one before it was restarted.
        """
        if unknown := self._tables.unknown(arrays):
            self._tables.learn(await self.ask(array_tables.operation(unknown)))
        return self._tables.pod

    async def job(self, job_id: str) -> Job | None:
        reply = await self.ask(find_job.operation(self._config, job_id, root_is_known=bool(self._roots)))
        pod_of_task = await self._pods_of(queue.arrays(reply.others, self._roots))
        return find_job.found(reply, job_id, self._roots, pod_of_task)

    async def open_port(self, node: str, port: int) -> PortStream:
        if self._ports is None:
            raise PortUnreachable(f"{node} port {port} is not reached from here: PortForward.Port is not set")
        with self.observer.operation("port"):
            return await self._ports.open(node, port)

    async def open_port_in_job(self, job_id: str, node: str, port: int) -> PortStream:
        with self.observer.operation("port"):
            return await self._port_relays.open(job_id, node, port)

    async def open_port_in_step(self, job_id: str, node: str, port: int) -> PortStream | None:
        with self.observer.operation("port"):
            return await self._port_relays.open_on_kept(job_id, node, port)

    async def listen_in_job(self, job_id: str, node: str) -> StepListener:
        with self.observer.operation("port"):
            return await self._port_relays.listen(job_id, node)

    @property
    def _port_relays(self) -> PortRelays:
        if self._relays is None:
            raise PortUnreachable("ports of nodes are not reached from here: PortForward.Port is not set")
        return self._relays

    def has_step_in(self, job_id: str) -> bool:
        return self._relays is not None and self._relays.has(job_id)

    async def exec(self, pod: str, job_id: str, request: ExecRequest, node: NodeFolder | None = None) -> ExecSession:
        if self._commands is None:
            raise NotSent("commands are not run from here: EnableExec is false")
        size = request.terminal
        exec_id, script = execution.script(self._config, pod, job_id, request, node)
        with self.observer.operation("exec", pod):
            channel = await self._commands.open(script, (size.columns, size.rows) if size else None)
            session = execution.RunningCommand(channel, exec_id)
            try:
                await session.start(terminal=size is not None)
            except BaseException:
                session.close()
                raise
        return session

    async def outputs(self, job_ids: Iterable[str]) -> dict[str, str]:
        return await self._with_pods(await self.ask(outputs.operation(self._config, job_ids)))

    async def records(self, ended: Iterable[str] = (), *, early: bool = False) -> list[Record]:
        before = self.other_sidecars
        self.other_sidecars = replace(before, newer_mark=None if before.newer_mark is None else "")
        reply = await self.ask(self._spool.operation(self._config, ended, owner=self._owner, early=early))
        self.other_sidecars = replace(reply.others, older_acted=before.older_acted or reply.others.older_acted)
        return reply.records

    async def inspect_pods(self, pods: Iterable[str]) -> Inspection:
        return await self.ask(inspect_pods.operation(pods))

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        jobs = await self.ask(accounting.operation(self._config, job_ids))
        origins = await self._with_pods({job.id: job.origin for job in jobs if ARRAYS in job.origin})
        return [replace(job, origin=origins.get(job.id, job.origin)) for job in jobs]

    async def _with_pods(self, paths: dict[str, str]) -> dict[str, str]:
        """Texts by the ids of their jobs, in which the folder of a task's pod replaces the folder of the array."""
        names = {job_id: array_of_path(path) for job_id, path in paths.items()}
        pod_of_task = await self._pods_of(filter(None, names.values()))
        pods = {job_id: pod_of_task(name, task_number(job_id)) for job_id, name in names.items() if name}
        return {
            job_id: path.replace(f"{ARRAYS}{names[job_id]}", f"/{pod}") if (pod := pods.get(job_id)) else path
            for job_id, path in paths.items()
        }

    async def recover(self) -> Recovery:
        recovered = await self._recover(take_over=self._owner)
        self._epoch = recovered.epoch
        self.other_sidecars = OtherSidecars()
        return recovered.known

    async def survey(self) -> Recovery:
        recovered = await self._recover(take_over=False)
        self.other_sidecars = replace(self.other_sidecars, older_acted=False)
        return recovered.known

    async def _recover(self, *, take_over: bool) -> Recovered:
        now = time.monotonic()
        recovered = await self.ask(recover.operation(owner=self._owner, take_over=take_over))
        self._expired = now
        return recovered

    async def tend_libraries(self) -> None:
        await self.ask(tend_libraries.operation(self._libraries))

    # --- look ---

    async def try_store(self) -> None:
        await self.ask(try_store.operation())

    async def capacity(self) -> Capacity:
        return await self.ask(nodes.capacity(self._config))

    async def partitions(self) -> list[Partition]:
        return await self.ask(nodes.partitions(self._config))

    async def list_pods(self) -> list[Listed]:
        return await self.ask(listing.operation())

    async def describe(self, pod: str) -> PodFolder | None:
        return await self.ask(describe.operation(pod))

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog | NoLog:
        script = log.script(self._config, what, pod_is_over=over, node=at, account=self._account)
        chunks = self._shells.stream(script, followed=what.follow)
        try:
            with self.observer.operation("log", what.pod):
                return await log.opened(chunks)
        except BaseException:
            await chunks.aclose()
            raise

    async def resources(self) -> str:
        return await self.ask(resources.operation(self._config))

    async def sinfo(self) -> SinfoOutput:
        return await self.ask(sinfo.operation(self._config))

    # --- any operation ---

    async def ask(self, operation: Operation[_T]) -> _T:
        """Run the operation, and notify the observer."""
        with self.observer.operation(operation.metric or operation.name, operation.values.get("pod", "")):
            reply = await self._run(operation)
        try:
            return operation.parse(reply)
        except SlurmFailed as error:
            self.observer.slurm_failed(error.command)
            raise

    async def _run(self, operation: Operation[Any], on_output: OnOutput | None = None) -> Reply:
        request = Request(operation.assignments, operation.payload, operation.texts(self._account))
        result = await self._shells.run(request, deadline=operation.seconds, on_output=on_output)
        reply = Reply.parse(operation.name, result.output.decode(errors="replace"))
        self._roots = tuple(reply.all("root")) or self._roots
        return reply

    @property
    def _account(self) -> dict[str, str]:
        return {"root": self._config.data_root_folder, "sidecar": self._name, "epoch": self._epoch}
