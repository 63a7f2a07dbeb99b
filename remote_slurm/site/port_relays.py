"""The relays of one account: at most one for each job, kept for a while, since to start one takes a step of the job.

A node without perl and python3 has no program that carries many connections: each takes a step of its own there.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

from remote_slurm.config import Config
from remote_slurm.errors import Code, NotSent, PortUnreachable, SiteError
from remote_slurm.site.operations import relay as operation
from remote_slurm.site.relay import OneConnection, Relay, RelayEnded
from remote_slurm.site.site import PortStream, StepListener
from remote_slurm.site.step_connection import NotConnected, StepConnection
from remote_slurm.ssh.receive_window import WindowBudget

# With single connections. Each of them is a session of the connection for ports, of which sshd allows 10 (MaxSessions)
MOST_RELAYS = 8
# A busy slurmctld starts no step for a while. Less than what a client waits for an answer
_START_SECONDS = 25.0
_MOST_REMEMBERED = 1000

_REMEDY = "nodes must be able to connect to ports of srun on the login node (SrunPortRange in slurm.conf)"

Attach = Callable[[str], Awaitable[PortStream]]


class PortRelays:
    """Opens connections to ports of jobs' nodes through steps of the jobs. Lives in one event loop."""

    def __init__(self, attach: Attach, config: Config) -> None:
        self._attach = attach
        self._config = config
        self._budget = WindowBudget()
        self._relays: dict[str, Relay] = {}
        self._starting: dict[str, asyncio.Task[Relay]] = {}
        self._timers: dict[Relay, asyncio.TimerHandle] = {}
        # The program for single connections, by job and node
        self._single: dict[tuple[str, str], str] = {}
        self._connections = 0  # over a step of their own

    def has(self, job_id: str) -> bool:
        """Whether a connection needs no new step."""
        relay = self._relays.get(job_id)
        return relay is not None and not relay.ended

    async def open(self, job_id: str, node: str, port: int) -> PortStream:
        """Connect to the port on the job's node. Raises PortUnreachable, or another SiteError."""
        if stream := await self.open_on_kept(job_id, node, port):
            return stream
        if (job_id, node) in self._single:
            return await self._open_single(job_id, node, port)
        try:
            relay = await self._started(job_id, node)
        except OneConnection:
            return await self._open_single(job_id, node, port)
        try:
            return await self._open_on(relay, port)
        except RelayEnded as error:
            raise _port_unreachable(job_id, node, "it ended at once") from error

    async def open_on_kept(self, job_id: str, node: str, port: int) -> PortStream | None:
        """Connect as `open`, but start no step: None if there is none for more connections."""
        if (kept := self._relays.get(job_id)) and kept.node == node:
            with contextlib.suppress(RelayEnded):
                return await self._open_on(kept, port)
        return None

    async def listen(self, job_id: str, node: str) -> StepListener:
        """What a step of the job listens on for a while. Raises PortUnreachable."""
        kept = self._relays.get(job_id)
        try:
            relay = kept if kept and not kept.ended else await self._started(job_id, node)
        except OneConnection as error:
            return StepListener(error.program, None)
        try:
            return StepListener(relay.program, await relay.listen())
        except RelayEnded as error:
            raise _port_unreachable(job_id, node, "it ended at once") from error

    async def _open_single(self, job_id: str, node: str, port: int) -> PortStream:
        self._make_room()
        self._connections += 1
        connection: StepConnection | None = None
        try:
            hello = _hello()
            stream = await self._attach(operation.script(self._config, job_id, hello, port))
            connection = StepConnection(stream, f"port {port} of {node} in job {job_id}", self._has_closed)
            async with asyncio.timeout(_START_SECONDS):
                await connection.start(hello)
        except BaseException as error:
            if connection is None:
                self._has_closed()
            else:
                connection.close()
            if isinstance(error, NotConnected) and operation.nothing_listens(error.words):
                raise PortUnreachable(f"nothing listens on port {port} of {node}", code=Code.CONNECT_FAILED) from error
            raise _start_failed(job_id, node, error) from error
        return connection

    def _has_closed(self) -> None:
        self._connections -= 1

    async def _open_on(self, relay: Relay, port: int) -> PortStream:
        if timer := self._timers.pop(relay, None):
            timer.cancel()
        return await relay.open(port)

    async def _started(self, job_id: str, node: str) -> Relay:
        if job_id not in self._starting:
            self._make_room()
            task = asyncio.create_task(self._start(job_id, node), name="relay")
            self._starting[job_id] = task
            task.add_done_callback(lambda done: self._has_started(job_id, done))
        return await asyncio.shield(self._starting[job_id])

    def _has_started(self, job_id: str, done: asyncio.Task[Relay]) -> None:
        del self._starting[job_id]
        if not done.cancelled():
            done.exception()  # read, though the caller may have gone

    def _make_room(self) -> None:
        """Raises NotSent if all steps have connections."""
        if len(self._relays) + len(self._starting) + self._connections < MOST_RELAYS:
            return
        for relay in self._relays.values():
            if not relay.connections:
                relay.close()
                return
        raise NotSent(f"{MOST_RELAYS} steps (srun) forward connections already: try again later")

    async def _start(self, job_id: str, node: str) -> Relay:
        hello = _hello()
        stream = await self._attach(operation.script(self._config, job_id, hello))
        relay = Relay(stream, node, self._budget)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await relay.start(hello)
        except OneConnection as error:
            relay.close()
            if len(self._single) >= _MOST_REMEMBERED:
                self._single.clear()
            self._single[job_id, node] = error.program
            raise
        except BaseException as error:
            relay.close()
            raise _start_failed(job_id, node, error) from error
        self._relays[job_id] = relay
        relay.on_idle = lambda: self._rest(job_id, relay)
        self._rest(job_id, relay)
        return relay

    def _rest(self, job_id: str, relay: Relay) -> None:
        """The relay has no connections now, or has ended."""
        if timer := self._timers.pop(relay, None):
            timer.cancel()
        if not relay.ended:
            seconds = self._config.port_forward.idle_seconds
            self._timers[relay] = asyncio.get_running_loop().call_later(seconds, relay.close)
        elif self._relays.get(job_id) is relay:
            del self._relays[job_id]


def _hello() -> str:
    return f"relay {secrets.token_hex(16)}"


def _start_failed(job_id: str, node: str, error: BaseException) -> BaseException:
    """What to raise for a step that has not started."""
    if isinstance(error, TimeoutError):
        return _port_unreachable(job_id, node, f"no step started within {_START_SECONDS:g} s", remedy=_REMEDY)
    if isinstance(error, (RelayEnded, NotConnected)):
        return _port_unreachable(job_id, node, operation.failure(error.words))
    if isinstance(error, SiteError):
        return _port_unreachable(job_id, node, str(error))
    return error


def _port_unreachable(job_id: str, node: str, why: str, remedy: str = "") -> PortUnreachable:
    words = f"srun cannot forward connections to {node} in job {job_id}: {why}"
    return PortUnreachable(words, code=Code.NO_RELAY, remedy=remedy)
