"""Logs for several readers: one reader at the site for all who follow, and for each what was asked for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from remote_slurm.domain.logs import LogSlice, Noted
from remote_slurm.errors import Rejected, RemoteFailed
from remote_slurm.remote.site import NoLog, OpenLog, Place
from remote_slurm.service.entries import Entries
from remote_slurm.service.logs import KEPT_BYTES, Logs

POD = "ns-1"


class GrowingLog:
    """A site with one log; it is read to where it ends, or followed until a test says that it has ended."""

    def __init__(self, text: bytes = b"") -> None:
        self.text = text
        self.missing = ""
        self.fails = 0
        self.readers = 0
        self.asked: list[LogSlice] = []
        self._ended = False
        self._news = asyncio.Condition()

    async def open_log(self, what: LogSlice, *, over: bool, at: Place | None = None) -> OpenLog | NoLog:
        del over, at
        self.asked.append(what)
        if self.missing:
            return NoLog(self.missing)
        start = max(what.offset or 0, self._last(what.lines))
        notes = [Noted(len(self.text), 0)] if what.timestamps else []
        return OpenLog(start, notes, self._read(start, follow=what.follow, limit=what.limit_bytes))

    async def is_left(self) -> None:
        """Returns once nobody reads any more."""
        async with asyncio.timeout(60):
            while self.readers:  # noqa: ASYNC110 - generators end without a word
                await asyncio.sleep(0)

    async def grow(self, text: bytes = b"", *, ended: bool = False) -> None:
        async with self._news:
            self.text += text
            self._ended = ended
            self._news.notify_all()

    def _last(self, lines: int | None) -> int:
        if lines is None:
            return 0
        return len(self.text) - len(b"".join(self.text.splitlines(keepends=True)[-lines:] if lines else []))

    async def _read(self, start: int, *, follow: bool, limit: int | None) -> AsyncGenerator[bytes, None]:
        self.readers += 1
        try:
            if data := self.text[start:][:limit]:
                yield data
            at = len(self.text)
            while follow:
                async with self._news:
                    await self._news.wait_for(lambda at=at: len(self.text) > at or self._ended or self.fails)
                if self.fails:
                    raise RemoteFailed("it was cut")
                data, at = self.text[at:], len(self.text)
                if data:
                    yield data
                follow = not self._ended
        finally:
            self.readers -= 1


class Reader:
    """Somebody who reads, and what they have read."""

    def __init__(self, logs: Logs, **asked: object) -> None:
        self.text = b""
        self._task = asyncio.create_task(self._read(logs, LogSlice(POD, "c", **asked)))  # type: ignore[arg-type]

    async def _read(self, logs: Logs, what: LogSlice) -> None:
        async for data in logs.read(what):
            self.text += data

    async def has(self, text: bytes) -> None:
        async with asyncio.timeout(60):
            while self.text != text and not self._task.done():  # noqa: ASYNC110 - what it looks at tells nobody
                await asyncio.sleep(0)
        assert self.text == text

    async def end(self) -> bytes:
        async with asyncio.timeout(60):
            await self._task
        return self.text

    async def leave(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


def logs_of(site: GrowingLog) -> Logs:
    return Logs(site, Entries())  # type: ignore[arg-type]


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(("limit", "text"), [(0, b""), (3, b"one"), (6, b"one\ntw"), (100, b"one\ntwo\n")])
async def test_no_more_bytes_come_than_were_asked_for(limit: int, text: bytes, *, follow: bool) -> None:
    site = GrowingLog(b"one\ntwo\n")
    reader = Reader(logs_of(site), limit_bytes=limit, follow=follow)
    if follow and limit == 100:
        await reader.has(text)
        await site.grow(ended=True)
    assert await reader.end() == text
    await site.is_left()


async def test_the_times_count_among_the_bytes() -> None:
    site = GrowingLog(b"one\ntwo\n")
    told = b"1970-01-01T00:00:00Z one\n1970-01-01T00:00:00Z two\n"
    assert await Reader(logs_of(site), timestamps=True).end() == told
    assert await Reader(logs_of(site), timestamps=True, limit_bytes=8).end() == told[:8]


async def test_all_who_follow_a_log_have_one_reader_and_each_its_own_beginning() -> None:
    site = GrowingLog(b"one\ntwo\n")
    shared = logs_of(site)
    first = Reader(shared, follow=True)
    await first.has(b"one\ntwo\n")
    second = Reader(shared, follow=True, lines=1)
    await second.has(b"two\n")
    assert site.readers == 1
    assert [what.follow for what in site.asked] == [True, False]
    await site.grow(b"three\n")
    await first.has(b"one\ntwo\nthree\n")
    await second.has(b"two\nthree\n")
    await first.leave()
    assert site.readers == 1, "the second one still needs it"
    await site.grow(b"four\n", ended=True)
    assert await second.end() == b"two\nthree\nfour\n"
    await site.is_left()


async def test_who_comes_after_the_last_follower_has_left_has_a_new_reader() -> None:
    site = GrowingLog(b"one\n")
    shared = logs_of(site)
    first = Reader(shared, follow=True)
    await first.has(b"one\n")
    await first.leave()
    await site.is_left()
    second = Reader(shared, follow=True)
    await second.has(b"one\n")
    await site.grow(b"two\n", ended=True)
    assert await second.end() == b"one\ntwo\n"


@pytest.mark.parametrize("follow", [False, True])
async def test_who_goes_away_before_the_first_byte_leaves_no_reader(*, follow: bool) -> None:
    """As a client that has hung up while the site was asked."""
    site = GrowingLog(b"one\n")
    reading = logs_of(site).read(LogSlice(POD, "c", follow=follow))
    assert await anext(reading) == b""
    await asyncio.sleep(0.01)
    await reading.aclose()
    await site.is_left()


async def test_who_is_further_behind_than_what_is_kept_misses_nothing() -> None:
    site = GrowingLog(b"")
    following = logs_of(site).read(LogSlice(POD, "c", follow=True))
    assert await anext(following) == b""
    pieces = [b"%d" % number * (KEPT_BYTES // 2) for number in range(5)]
    for piece in pieces:  # nobody takes them meanwhile
        await site.grow(piece)
        await asyncio.sleep(0.01)
    await site.grow(ended=True)
    assert b"".join([data async for data in following]) == b"".join(pieces)


async def test_a_reader_that_is_cut_is_an_error_after_what_had_come() -> None:
    site = GrowingLog(b"one\n")
    reader = Reader(logs_of(site), follow=True)
    await reader.has(b"one\n")
    site.fails = 1
    await site.grow()
    with pytest.raises(RemoteFailed, match="it was cut"):
        await reader.end()


async def test_followers_end_when_the_service_does() -> None:
    site = GrowingLog(b"one\n")
    shared = logs_of(site)
    reader = Reader(shared, follow=True)
    await reader.has(b"one\n")
    shared.end_followers()
    assert await reader.end() == b"one\n"
    await site.is_left()


async def test_followers_end_with_the_pod_also_where_no_end_was_recorded() -> None:
    site, entries = GrowingLog(b"one\n"), Entries()
    reader = Reader(Logs(site, entries), follow=True)  # type: ignore[arg-type]
    entry = entries.add(POD)
    await reader.has(b"one\n")
    entry.has_job("7")
    entry.settle()
    assert await reader.end() == b"one\n"


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("noprevious", "container 'c' has not run before"),
        ("waiting", "container 'c' is waiting to start$"),
        ("stayed", "stayed on its node"),
        ("nofolder", "its pod has no folder at the site"),
    ],
)
async def test_why_there_is_none(reason: str, words: str, *, follow: bool) -> None:
    site = GrowingLog()
    site.missing = reason
    with pytest.raises(Rejected, match=words):
        await Reader(logs_of(site), follow=follow).end()
