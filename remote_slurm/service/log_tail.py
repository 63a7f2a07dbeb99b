"""One reader of a growing log, shared by all clients that follow it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from remote_slurm.domain.status.no_log import FINAL, NoLogReason
from remote_slurm.errors import NotSent, RemoteFailed, SiteError
from remote_slurm.service.reconnect_signal import ReconnectSignal
from remote_slurm.site.operations.log import NoLog, OpenLog

# What a reader keeps for followers that are a little behind; a follower further behind reads from the site again
KEPT_BYTES = 4 * 1024 * 1024
_LONGEST_PAUSE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class LogTimeouts:
    """How long a follower waits, in seconds, before it reports an error; tests shorten it.

    `away`: for a site that cannot be reached. `short`: for bytes that the runner noted and that the file system of the
    login node does not show. `pause`: before the first new try. `last_lines`: for the last lines of a pod that is over,
    which may still be on their way to the login node.
    """

    away: float = 600
    short: float = 60
    pause: float = 0.5
    last_lines: float = 3


class Retries:
    """The pauses between two tries to continue a log, and when to give up."""

    def __init__(
        self, returns: ReconnectSignal, timeouts: LogTimeouts, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._returns = returns
        self.timeouts = timeouts
        self._clock = clock
        self._pause = timeouts.pause
        self._away_since: float | None = None
        self._short_since: float | None = None

    def progress(self) -> None:
        """Bytes have arrived: start anew."""
        self._away_since = self._short_since = None
        self._pause = self.timeouts.pause

    def connected(self, seconds: float) -> None:
        """The site was connected for so long, whether or not there was anything to read."""
        if seconds >= _LONGEST_PAUSE_SECONDS:
            self._away_since = None

    def failed(self, error: SiteError) -> None:
        """Raises `error` if the site has not been reached for too long."""
        self._away_since = self._away_since or self._clock()
        if self._clock() - self._away_since >= self.timeouts.away:
            raise error

    def is_short(self, size: int, length: int) -> None:
        """Raises RemoteFailed if the log has been shorter than `length` bytes for too long."""
        if size >= length:
            return
        self._short_since = self._short_since or self._clock()
        if self._clock() - self._short_since >= self.timeouts.short:
            raise RemoteFailed(
                f"the log has {size} bytes at the login node, but {length} on the compute node: the rest is missing"
            )

    async def pause(self) -> None:
        """Wait for a growing time, or until the site answers again."""
        await self._returns.subscribe().wait(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)


class Tail:
    """The reader, and the last bytes that it brought. Offsets count all bytes that it brought.

    It opens the log again, from the byte that it has, until the site reports the log's length and all of it is here: a
    connection may drop, and a login node may kill the process that reads.
    """

    def __init__(
        self,
        log: OpenLog,
        reopen: Callable[[int, str], Awaitable[OpenLog | NoLog]],
        over: Callable[[], Awaitable[object]],
        retries: Retries,
    ) -> None:
        self.first = log
        self.run = log.run
        self.followers = 1
        self.is_done = False
        self._shift = 0  # bytes read before the log was truncated at MaxLogSize
        self._reopen = reopen
        self._over = over
        self._retries = retries
        self._error: SiteError | None = None
        self._kept: deque[bytes] = deque()
        self.begin = self._end = log.start
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._read_to_its_end())

    async def after(self, offset: int, closing: asyncio.Event) -> bytes:
        """The bytes from `offset` on, or from `begin` if that is later; empty at the log's end.

        Raises SiteError if the log cannot be read to its end.
        """
        while self._end <= offset and not self.is_done:
            if closing.is_set():
                raise NotSent("the sidecar is stopping: ask again for the rest")
            waits = {asyncio.create_task(each.wait()) for each in (self._changed, closing)}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        if self._end > offset:
            return self._from(offset)
        if self._error is not None:
            raise self._error
        return b""

    def in_log(self, offset: int) -> int:
        """The position of that byte in the log as it is now."""
        return max(0, offset - self._shift)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _from(self, offset: int) -> bytes:
        return b"".join(self._kept)[max(offset - self.begin, 0) :]

    async def _read_to_its_end(self) -> None:
        log: OpenLog | None = self.first
        try:
            while log is not None:
                log = await self._read(log)
        except SiteError as error:
            self._error = error
        finally:
            self.is_done = True
            self._notify()

    async def _read(self, log: OpenLog) -> OpenLog | None:
        """Read to the end of one reply. Return the next one, or None at the end of the log."""
        before, opened = self._end, time.monotonic()
        try:
            ended = await self._take(log)
        except SiteError as error:
            self._retries.connected(time.monotonic() - opened)
            self._retries.failed(error)
            ended = False
        if ended and log.length is not None:
            size = self.in_log(self._end)
            if size >= log.length:
                return None
            self._retries.is_short(size, log.length)
        return await self._open_again(ended=ended, pauses=self._end == before)

    async def _open_again(self, *, ended: bool, pauses: bool) -> OpenLog | None:
        """Open the log again. `ended`: the site has sent all that there was, without an error."""
        while True:
            if pauses:
                await self._retries.pause()
            pauses = True
            try:
                log = await self._reopen(self.in_log(self._end), self.run)
            except SiteError as error:
                self._retries.failed(error)
                continue
            if isinstance(log, OpenLog):
                self._shift = self._end - log.start
                self.run = self.run or log.run
                return log
            if log.reason is NoLogReason.NO_FOLDER and ended:
                return None
            problem = RemoteFailed(f"the rest of the log cannot be read at the site: {log.reason}")
            if log.reason in FINAL:
                raise problem
            self._retries.failed(problem)

    async def _take(self, log: OpenLog) -> bool:
        """Take all bytes of a reply; False if reading stopped before the site ended it.

        If the pod is over and no more bytes come, the next reply has the rest: a killed job records no end.
        """
        over = asyncio.ensure_future(self._over())
        try:
            async with aclosing(log.chunks):
                while (chunk := await self._next(log, over)) is not None:
                    if not chunk:
                        return True
                    self._keep(chunk)
                return False
        finally:
            over.cancel()

    async def _next(self, log: OpenLog, over: asyncio.Future[object]) -> bytes | None:
        """The next bytes, empty at the end; None if the pod is over and none come."""
        coming = asyncio.ensure_future(anext(log.chunks, b""))
        try:
            waits: set[asyncio.Future[Any]] = {coming, over}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done() and log.length is None:
                await asyncio.wait({coming}, timeout=self._retries.timeouts.last_lines)
                if not coming.done():
                    return None
            return await coming
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    def _keep(self, chunk: bytes) -> None:
        self._retries.progress()
        self._kept.append(chunk)
        self._end += len(chunk)
        while self._end - self.begin - len(self._kept[0]) > KEPT_BYTES:
            self.begin += len(self._kept.popleft())
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
