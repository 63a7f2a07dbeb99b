"""The relays of one account: at most one for each job, kept for a while, since to start one takes a step of the job."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable

from remote_slurm.config import Config
from remote_slurm.errors import Code, NotSent, PortUnreachable, SiteError
from remote_slurm.site.operations import relay as operation
from remote_slurm.site.relay import Relay, RelayEnded
from remote_slurm.site.site import PortStream
from remote_slurm.ssh.receive_window import WindowBudget

# Each of them is a session of the connection for ports, of which sshd allows 10 (MaxSessions)
MOST_RELAYS = 8
# A busy slurmctld starts no step for a while. Less than what a client waits for an answer
_START_SECONDS = 25.0

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

    def has(self, job_id: str) -> bool:
        """Whether a connection needs no new step."""
        relay = self._relays.get(job_id)
        return relay is not None and not relay.ended

    async def open(self, job_id: str, node: str, port: int) -> PortStream:
        """Connect to the port on the job's node. Raises PortUnreachable, or another SiteError."""
        if (kept := self._relays.get(job_id)) and kept.node == node:
            with contextlib.suppress(RelayEnded):
                return await self._open_on(kept, port)
        relay = await self._started(job_id, node)
        try:
            return await self._open_on(relay, port)
        except RelayEnded as error:
            raise _unusable(job_id, node, "it ended at once") from error

    async def listen(self, job_id: str, node: str) -> int:
        """A port of the node that a step of the job listens on for a while. Raises PortUnreachable."""
        kept = self._relays.get(job_id)
        relay = kept if kept and not kept.ended else await self._started(job_id, node)
        try:
            return await relay.listen()
        except RelayEnded as error:
            raise _unusable(job_id, node, "it ended at once") from error

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
        """Raises NotSent if all relays have connections."""
        if len(self._relays) + len(self._starting) < MOST_RELAYS:
            return
        for relay in self._relays.values():
            if not relay.connections:
                relay.close()
                return
        raise NotSent(f"ports of {MOST_RELAYS} jobs are forwarded through srun already: try again later")

    async def _start(self, job_id: str, node: str) -> Relay:
        hello = f"relay {secrets.token_hex(16)}"
        stream = await self._attach(operation.script(self._config, job_id, hello))
        relay = Relay(stream, node, self._budget)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await relay.start(hello)
        except TimeoutError:
            relay.close()
            why = f"no step started within {_START_SECONDS:g} s"
            raise _unusable(job_id, node, why, remedy=_REMEDY) from None
        except RelayEnded as error:
            relay.close()
            raise _unusable(job_id, node, operation.failure(error.words)) from error
        except SiteError as error:
            relay.close()
            raise _unusable(job_id, node, str(error)) from error
        except BaseException:
            relay.close()
            raise
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


def _unusable(job_id: str, node: str, why: str, remedy: str = "") -> PortUnreachable:
    words = f"srun cannot forward connections to {node} in job {job_id}: {why}"
    return PortUnreachable(words, code=Code.NO_RELAY, remedy=remedy)
