"""The one way to run something at the site: `Sessions`.

What a caller may conclude from an error is in its class: NotSent, and nothing has run; OutcomeUnknown, and it may have.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from tenacity import RetryCallState, retry, retry_if_exception_type, stop_after_attempt, wait_none

from remote_slurm.errors import NotSent, OutcomeUnknown, RemoteFailed, SiteError
from remote_slurm.ssh.connection import Connection, ConnectionState
from remote_slurm.ssh.framing import Frame, FramedOutput, Request, frame
from remote_slurm.ssh.observer import Observer
from remote_slurm.ssh.output_stream import OutputStream
from remote_slurm.ssh.remote_shell import DeadSession, OnOutput, Result, Shell
from remote_slurm.ssh.session_pool import PoolSize, SessionPool
from remote_slurm.ssh.threads import in_thread

__all__ = ["ConnectionStatus", "OnOutput", "PoolSize", "Request", "Result", "Sessions"]

_T = TypeVar("_T")
# The most streams at once: of those that go on until their reader leaves, and of those that end by themselves
_FOLLOWED = 4
_SHORT = 2


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """State of the connection and its sessions. `round_trip` is that of the last script, in seconds; None before it."""

    state: ConnectionState
    round_trip: float | None
    sessions_in_use: int
    sessions_limit: int


def _count_retry(state: RetryCallState) -> None:
    state.args[0].observer.retried("session")


# A session, or the connection, may have died while it was idle. Nothing was sent, and the next one is there or will be
# opened: there is nothing to wait for, and the circuit breaker limits new connections.
_on_a_live_session = retry(
    retry=retry_if_exception_type(DeadSession),
    stop=stop_after_attempt(3),
    wait=wait_none(),
    reraise=True,
    before_sleep=_count_retry,
)


class Sessions:
    """Runs scripts at the site, each in one round trip, over sessions that were opened in advance."""

    def __init__(self, connection: Connection, size: PoolSize | None = None, observer: Observer | None = None) -> None:
        self.observer = observer or Observer()
        self._connection = connection
        self._round_trip: float | None = None
        self._pool = SessionPool(connection, size or PoolSize(), self._leave_a_session)
        self._followed_slots = asyncio.Semaphore(_FOLLOWED)
        self._short_slots = asyncio.Semaphore(_SHORT)
        self._streaming: list[Shell] = []

    @property
    def connection_status(self) -> ConnectionStatus:
        """The present state of the connection and its sessions. Returns at once."""
        return ConnectionStatus(self._connection.state, self._round_trip, self._pool.in_use, self._pool.limit)

    async def run(self, request: Request, *, deadline: float, on_output: OnOutput | None = None) -> Result:
        """Run the script in a POSIX shell at the site, and wait at most `deadline` seconds for the end.

        The script reads the payload, of `payload_size` bytes, from its standard input. A cut connection ends
        that early: the script must check the size before it acts on the payload. It runs in a subshell
        with umask 077, with nothing of a former script, and not at all unless it has arrived whole itself. A
        process that it leaves in the background has to redirect its output. `on_output` is called with each piece
        of the output as it comes.

        Raises NotSent (or a subclass) when certainly nothing has run. Raises OutcomeUnknown when it may have:
        the answer was lost, or the deadline has passed, in which case the script may still be running.
        """
        return await self._ask(request, time.monotonic() + deadline, on_output and _in_loop(on_output))

    async def stream(
        self, script: str, *, followed: bool = True, deadline: float = 30.0
    ) -> AsyncGenerator[bytes, None]:
        """Run `script` and yield its output as it comes, until it ends; `aclose` ends it at the site, too.

        `followed`: it may go on for ever. It has `deadline` seconds to begin. A slow consumer slows the script
        down: no more than a window is buffered. Raises NotSent; OutcomeUnknown when the connection is lost;
        RemoteFailed when the script does not end with 0.
        """
        until = time.monotonic() + deadline
        async with self._room_for_a_stream(until, followed=followed):
            shell, answer, data = await self._begin(frame(script, kind="follow"), until)
            flow = OutputStream(shell)
            try:
                if data:
                    yield data
                while answer.exit_code is None:
                    if data := answer.feed(await flow.take()):
                        yield data
            finally:
                flow.close()
                self._streaming.remove(shell)
                self._pool.discard(shell)
        if answer.exit_code:
            raise RemoteFailed(f"the script that was followed ended with exit code {answer.exit_code}")

    async def warm(self) -> None:
        """Connect, and open sessions in advance; raises what `Connection.link` raises."""
        await self._connection.link()
        self._pool.supply()

    async def close(self) -> None:
        """End all sessions; what runs in them is cut off."""
        await self._pool.close()

    @_on_a_live_session
    async def _ask(self, request: Request, until: float, on_output: OnOutput | None) -> Result:
        shell = await self._pool.take(until)
        try:
            result = await self._before(until, shell, in_thread("ssh-run", shell.run, request, on_output))
        except BaseException:
            self._pool.discard(shell)
            raise
        self._round_trip = shell.round_trip
        self._pool.give_back(shell)
        return result

    @_on_a_live_session
    async def _begin(self, request: Frame, until: float) -> tuple[Shell, FramedOutput, bytes]:
        """Start a script that is followed: its shell, its answer, and the first of its output, if any."""
        shell = await self._pool.take(until)
        self._streaming.append(shell)
        self._leave_a_session()
        answer, data = FramedOutput(request), b""
        try:
            await self._before(until, shell, in_thread("ssh-stream", shell.send, request))
            while not answer.begun:
                data = answer.feed(await self._before(until, shell, in_thread("ssh-stream", shell.receive)))
        except BaseException:
            self._streaming.remove(shell)
            self._pool.discard(shell)
            raise
        return shell, answer, data

    async def _before(self, until: float, shell: Shell, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            async with asyncio.timeout_at(until):
                return await work
        except TimeoutError:
            raise self._late(shell) from None

    def _late(self, shell: Shell) -> SiteError:
        may_have_run = shell.stop()
        self._pool.suspect(shell)
        if may_have_run:
            return OutcomeUnknown(f"sent to {shell.link.host}, but no reply came in time")
        return NotSent(f"{shell.link.host} did not take the whole script in time: nothing has run")

    @contextlib.asynccontextmanager
    async def _room_for_a_stream(self, until: float, *, followed: bool) -> AsyncGenerator[None, None]:
        slots = self._followed_slots if followed else self._short_slots
        try:
            async with asyncio.timeout_at(until):
                await slots.acquire()
        except TimeoutError:
            busy = f"{_FOLLOWED} outputs are being followed" if followed else f"{_SHORT} outputs are being read"
            raise NotSent(f"{busy} already: try again later") from None
        try:
            yield
        finally:
            slots.release()

    def _leave_a_session(self) -> None:
        """End the latest streams where they hold every session that the site allows: nothing else could run."""
        for shell in self._streaming[max(0, self._pool.limit - 1) :]:
            self._pool.discard(shell)


def _in_loop(on_output: OnOutput) -> OnOutput:
    """The same for threads to call: before the result that they bring, and in their order."""
    loop = asyncio.get_running_loop()

    def call(data: bytes) -> None:
        loop.call_soon_threadsafe(on_output, data)

    return call
