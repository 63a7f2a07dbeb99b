"""The shells on the one connection: a few idle ones kept open, no more than the site allows, first come, first served.

A session counts until the site has closed it too. Everything here runs in one event loop and waits for no thread.
"""

import asyncio
import copy
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from remote_slurm.errors import NotSent, SiteError
from remote_slurm.log import failure, info
from remote_slurm.ssh.connect import Transport
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.remote_shell import ANOTHER_SHELL, NoSession, Shell, shown
from remote_slurm.ssh.threads import detach, in_thread

_LOOK = 0.1


@dataclass(frozen=True, slots=True)
class PoolSize:
    """How many sessions, and for how many seconds; sshd allows 10 of them by default (MaxSessions).

    A connection counts as frozen when a script was sent and for `patience` seconds not one byte has come back: even
    a slow script reports at once that it has begun. Each new session is sent the texts of operations again, so that
    sessions are renewed once an hour only.
    """

    sessions: int = 8
    warm: int = 3
    open_timeout: float = 30.0
    renew_after: float = 3600.0
    spare_after: float = 60.0
    close_grace: float = 10.0
    patience: float = 1.0


class SessionPool:
    """`take` a shell, then `give_back` one that can be asked again, or `discard` it."""

    def __init__(self, connection: Connection, size: PoolSize, on_lower_limit: Callable[[], None]) -> None:
        self._connection = connection
        self._on_lower_limit = on_lower_limit
        self._size = size
        self._limit = size.sessions
        self._link: Transport | None = None
        self._shells: set[Shell] = set()  # all that count: idle, in use, closing
        self._idle: list[Shell] = []
        self._closing: set[Shell] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[Shell]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def limit(self) -> int:
        """How many sessions the site allows at once, as far as is known."""
        return self._limit

    @property
    def in_use(self) -> int:
        """How many sessions do something, or are being closed."""
        return len(self._shells) - len(self._idle)

    async def take(self, until: float) -> Shell:
        """A shell that looks alive, in order of asking, before `until` (time.monotonic); else NotSent."""
        if self._closed:
            raise NotSent("not sent: the sidecar is shutting down")
        while self._idle:
            shell = self._idle.pop()
            if shell.alive:
                self.supply()
                return shell
            self.discard(shell)
        return await self._wait(until)

    def give_back(self, shell: Shell) -> None:
        """Let the next one use the shell, unless it is dead or old."""
        old = time.monotonic() - shell.born > self._size.renew_after
        if old or self._closed or not shell.alive:
            self.discard(shell)
        else:
            self._hand_over(shell)
        self._thin_out()
        self.supply()

    def discard(self, shell: Shell) -> None:
        """Close the shell; it counts until the site has closed it as well."""
        if shell in self._closing:
            return
        shell.stop()
        self._closing.add(shell)
        detach("ssh-close", shell.close)
        self._start(self._see_off(shell))

    def suspect(self, shell: Shell) -> None:
        """Give the connection up if nothing at all comes back on it after what this shell was sent."""
        self._start(self._judge(shell))

    def supply(self) -> None:
        """Open as many sessions as are wanted and allowed; without a connection only for waiting callers."""
        waiting = sum(not waiter.done() for waiter in self._waiters)
        spare = self._size.warm if self._connection.connected else 0
        wanted = waiting + spare - len(self._idle) - self._opening
        room = self._limit - len(self._shells) - self._opening
        for _ in range(0 if self._closed else min(wanted, room)):
            self._opening += 1
            self._start(self._open_one())

    async def close(self) -> None:
        """End all sessions, and fail all waiting callers."""
        self._closed = True
        self._fail(NotSent("not sent: the sidecar is shutting down"), everybody=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for shell in self._shells:
            detach("ssh-close", shell.close)

    async def _wait(self, until: float) -> Shell:
        waiter: asyncio.Future[Shell] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self.supply()
        try:
            async with asyncio.timeout_at(until):
                return await waiter
        except TimeoutError:
            raise NotSent(f"not sent: none of {self._limit} sessions became free in time") from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():
                self.give_back(waiter.result())
            raise
        finally:
            waiter.cancel()

    def _hand_over(self, shell: Shell) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(shell)
                return
        self._idle.append(shell)

    def _thin_out(self) -> None:
        """Close what a burst has left over. The one used last is used next: the first in the list rests longest."""
        rested = time.monotonic() - self._size.spare_after
        if len(self._idle) > self._size.warm and self._idle[0].used < rested:
            self.discard(self._idle.pop(0))

    async def _open_one(self) -> None:
        outcome = await self._try_to_open()
        self._opening -= 1
        if isinstance(outcome, Shell):
            self._shells.add(outcome)
            self._hand_over(outcome)
        elif isinstance(outcome, NoSession):
            self._lower_limit(outcome)
        else:
            self._fail(outcome, everybody=not self._connection.connected)

    async def _try_to_open(self) -> Shell | SiteError:
        try:
            return await self._open()
        except SiteError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a request that waits for the session must not wait for ever
            failure("unexpected error while opening a session", error)
            return NotSent(f"no session could be opened: {error!r}")

    async def _open(self) -> Shell:
        """Open a session. If the connection turns out to be dead, use a new one if a request waits for the session."""
        while True:
            link = await self._current_link()
            try:
                return await self._open_on(link)
            except NotSent:
                if link.alive or not any(not waiter.done() for waiter in self._waiters):
                    raise

    async def _current_link(self) -> Transport:
        link = await self._connection.link()
        if link is not self._link:
            self._link, self._limit = link, self._size.sessions
        return link

    async def _open_on(self, link: Transport) -> Shell:
        shell = Shell(link)
        try:
            async with asyncio.timeout(self._size.open_timeout):
                await in_thread("ssh-open", shell.open)
        except TimeoutError:
            self._abandon_opening(shell)
            if not shell.opened and link.alive:
                # A channel that the server opens later would never be closed.
                self._connection.drop(link, "it does not open a session")
            raise NotSent(
                f"{link.host} did not start a shell within {self._size.open_timeout:g} s, and printed "
                f"{shown(shell.noise)}: {ANOTHER_SHELL}"
            ) from None
        except NoSession:
            raise  # there is nothing to close
        except BaseException:
            self._abandon_opening(shell)
            raise
        return shell

    def _abandon_opening(self, shell: Shell) -> None:
        self._shells.add(shell)
        self.discard(shell)
        if shell.silent and shell.link.alive:
            self._connection.drop(shell.link, "it does not answer")

    def _lower_limit(self, error: NoSession) -> None:
        self._limit = max(1, len(self._shells) + self._opening)
        info("the site allows fewer sessions, using at most this number", sessions=self._limit, reason=error)
        self._on_lower_limit()
        if not self._shells and not self._opening:
            self._fail(error, everybody=True)

    def _fail(self, error: SiteError, *, everybody: bool) -> None:
        """Fail all waiting callers, or the one that has waited longest, for which the attempt was made."""
        failed = False
        while self._waiters and not (failed and not everybody):
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(copy.copy(error))
                failed = True
        self.supply()

    async def _judge(self, shell: Shell) -> None:
        await asyncio.sleep(max(0.0, shell.sent_at + self._size.patience - time.monotonic()))
        if shell.silent and shell.link.alive:
            self._connection.drop(shell.link, "it takes what is sent and does not answer")

    async def _see_off(self, shell: Shell) -> None:
        patience = time.monotonic() + self._size.close_grace
        while not shell.slot_is_free:
            await asyncio.sleep(_LOOK)
            if time.monotonic() > patience and len(self._closing) >= self._limit and self._waiters:
                self._connection.drop(shell.link, "none of its sessions ends")
        self._closing.discard(shell)
        self._shells.discard(shell)
        self.supply()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            failure("a task of the session pool failed", error)
