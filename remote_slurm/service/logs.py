"""Logs for any number of readers: all followers of one share a reader at the site, since sshd allows few sessions."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from remote_slurm.domain.logs import LogSlice, Stamper
from remote_slurm.errors import Rejected, RemoteFailed, SiteError
from remote_slurm.remote.site import NoLog, OpenLog, Site
from remote_slurm.service.entries import Entries, Entry

# What the login node says of a log that is still on a node
_ONLY_ON_NODE = ("waiting", "noprevious")
# What a shared reader keeps for followers that are a little behind; one that is further behind reads again
KEPT_BYTES = 4 * 1024 * 1024
# After a pod is over, its last lines may still be on their way to the login node
LAST_LINES_SECONDS = 3.0


class Logs:
    """Reads and follows the logs of one site's pods."""

    def __init__(self, site: Site, entries: Entries) -> None:
        self._site = site
        self._entries = entries
        self._tails: dict[tuple[str, str], Tail] = {}
        self._closing = asyncio.Event()

    def end_followers(self) -> None:
        """Followers see the end of what there is; they can ask again later."""
        self._closing.set()

    async def read(self, what: LogSlice) -> AsyncGenerator[bytes, None]:
        """The bytes as `kubectl logs` prints them; the first item, which may be empty, comes with the site's answer.

        Raises Rejected where there is no such log (yet), and SiteError.
        """
        raw = self._follow(what) if what.follow else self._once(what)
        left = what.limit_bytes
        async with aclosing(raw):
            async for data in raw:
                yield data if left is None else data[:left]
                if left is not None:
                    left -= len(data)
                    if left <= 0:
                        return

    async def _once(self, what: LogSlice) -> AsyncGenerator[bytes, None]:
        log = await self._open(replace(what, follow=False))
        stamp = _stamp(what, log)
        yield b""
        async for data in _all(log):
            yield stamp(data)

    async def _follow(self, what: LogSlice) -> AsyncGenerator[bytes, None]:
        """From its own beginning, through what others have read already, to the end."""
        tail, log = await self._joined(what)
        stamp = _stamp(what, log)
        offset = log.start
        over = asyncio.create_task(self._over(what.pod))
        try:
            yield b""
            if tail.log is not log:  # somebody follows it already: read up to where they are
                async for data in _all(log):
                    offset += len(data)
                    yield stamp(data)
            while data := await tail.after(offset, over):
                if offset < tail.begin:  # further behind than what is kept
                    async for missed in _all(await self._open(_from(what, offset))):
                        offset += len(missed)
                        yield stamp(missed)
                    offset = max(offset, tail.begin)  # it was cut short meanwhile
                else:
                    offset += len(data)
                    yield stamp(data)
        finally:
            over.cancel()
            await self._left(what, tail)

    async def _joined(self, what: LogSlice) -> tuple[Tail, OpenLog]:
        key = what.pod, what.container
        tail = self._tails.get(key)
        if tail is not None and not tail.is_done:
            tail.followers += 1
            try:
                log = await self._open(replace(what, follow=False, limit_bytes=None))
            except BaseException:
                await self._left(what, tail)
                raise
            return tail, log
        log = await self._open(replace(what, limit_bytes=None))
        tail = Tail(log)
        self._tails[key] = tail
        return tail, log

    async def _left(self, what: LogSlice, tail: Tail) -> None:
        tail.followers -= 1
        if tail.followers == 0:
            if self._tails.get((what.pod, what.container)) is tail:
                del self._tails[what.pod, what.container]
            await tail.close()

    async def _open(self, what: LogSlice) -> OpenLog:
        entry = self._entries.get(what.pod)
        over = entry is not None and entry.is_over
        place = entry.on_node if entry else None
        log: OpenLog | NoLog
        try:
            log = await self._site.open_log(what, over=over, at=place)
        except RemoteFailed:
            if place is None:
                raise
            # the job ended just now, and what it had there may have been fetched meanwhile
            log = await self._site.open_log(what, over=over)
            if isinstance(log, NoLog) and log.reason in _ONLY_ON_NODE:
                raise
        if isinstance(log, NoLog):
            raise Rejected(_why_not(log, what, entry))
        return log

    async def _over(self, pod: str) -> None:
        """Returns when following makes no more sense: a job that was killed records no end of its containers."""
        entry = self._entries.get(pod)
        waits = [asyncio.create_task(_wait(self._closing, 0))]
        if entry is not None:
            waits.append(asyncio.create_task(_wait(entry.over, LAST_LINES_SECONDS)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class Tail:
    """One reader of a growing log, and the last bytes that it brought; offsets are those in the log."""

    def __init__(self, log: OpenLog) -> None:
        self.log = log
        self.followers = 1
        self.is_done = False
        self._error: SiteError | None = None
        self._kept: deque[bytes] = deque()
        self.begin = self._end = log.start
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def after(self, offset: int, over: asyncio.Task[None]) -> bytes:
        """What stands in the log from `offset` on, or from `begin` where that is later; nothing at the log's end."""
        while self._end <= offset and not self.is_done and not over.done():
            news = asyncio.create_task(self._news.wait())
            await asyncio.wait({news, over}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        if self._end > offset:
            return self._from(offset)
        if self._error is not None:
            raise self._error
        return b""

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _from(self, offset: int) -> bytes:
        return b"".join(self._kept)[max(offset - self.begin, 0) :]

    async def _read(self) -> None:
        try:
            async with aclosing(self.log.chunks):
                async for chunk in self.log.chunks:
                    self._keep(chunk)
        except SiteError as error:
            self._error = error
        finally:
            self.is_done = True
            self._tell()

    def _keep(self, chunk: bytes) -> None:
        self._kept.append(chunk)
        self._end += len(chunk)
        while self._end - self.begin - len(self._kept[0]) > KEPT_BYTES:
            self.begin += len(self._kept.popleft())
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


async def _all(log: OpenLog) -> AsyncGenerator[bytes, None]:
    async with aclosing(log.chunks):
        async for chunk in log.chunks:
            yield chunk


def _from(what: LogSlice, offset: int) -> LogSlice:
    return replace(what, follow=False, lines=None, since=None, limit_bytes=None, offset=offset)


def _stamp(what: LogSlice, log: OpenLog) -> Callable[[bytes], bytes]:
    if not what.timestamps:
        return bytes
    stamper = Stamper(log.start, log.notes)
    return lambda data: stamper.stamp(data, time.time())


def _why_not(log: NoLog, what: LogSlice, entry: Entry | None) -> str:
    container = f"container '{what.container}'"
    if log.reason == "noprevious":
        return f"{container} has not run before: there is no previous log of it"
    if log.reason == "waiting":
        why = entry.job.reason if entry is not None and entry.job is not None else ""
        return f"{container} is waiting to start{f': {why}' if why not in ('', 'None') else ''}"
    if log.reason == "stayed" and entry is not None and entry.failure:
        return f"there is no log of {container}: {entry.failure}"
    if log.reason == "stayed":
        return f"the log of {container} stayed on its node: the job ended before it was fetched"
    return f"there is no log of {container}: its pod has no folder at the site"


async def _wait(event: asyncio.Event, more_seconds: float) -> None:
    await event.wait()
    await asyncio.sleep(more_seconds)
