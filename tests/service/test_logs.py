"""Logs for several readers: one reader at the site for all who follow, and for each what was asked for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice, Noted
from remote_slurm.domain.status.no_log import FINAL, NoLogReason
from remote_slurm.errors import InvalidRequest, RemoteFailed, SiteError, Unreachable
from remote_slurm.service.log_tail import KEPT_BYTES, LogTimeouts
from remote_slurm.service.logs import Logs
from remote_slurm.service.pod_store import PodStore
from remote_slurm.site.operations.log import NoLog, OpenLog
from tests.fake_site import FakeSite

POD = "ns-1"


class GrowingLog(FakeSite):
    """A site with one log; it is read to where it ends, or followed until a test says that it has ended."""

    def __init__(self, text: bytes = b"") -> None:
        super().__init__()
        self.text = text
        self.missing: NoLogReason | None = None
        self.fails = 0
        self.away = False
        self.length = 0  # what the runner noted, where the site shows less
        self.run_name = "0.0"
        self.shown: int | None = None  # how many bytes the site shows
        self.readers = 0
        self.taken = 0  # bytes that a follower has read
        self.slices: list[LogSlice] = []  # that were asked for
        self.slow = False
        self._killed = 0
        self._ended = False
        self._news = asyncio.Condition()

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog | NoLog:
        del at
        self.slices.append(what)
        if self.away:
            raise Unreachable("no route to the site")
        if self.missing:
            return NoLog(self.missing)
        start = max(what.offset or 0, self._last(what.lines))
        notes = [Noted(len(self.text), 0)] if what.timestamps else []
        is_over = self._ended or over
        length = (self.length or len(self.text)) if is_over and what.follow else None
        chunks = self._read(start, follow=what.follow and not is_over, limit=what.limit_bytes)
        return OpenLog(start, notes, chunks, length, self.run_name)

    async def is_left(self) -> None:
        """Returns once no reader is left."""
        async with asyncio.timeout(60):
            while self.readers:  # noqa: ASYNC110 - generators end without a word
                await asyncio.sleep(0)

    async def is_read(self) -> None:
        """Return once readers have taken all of the text."""
        async with asyncio.timeout(60):
            while self.taken < len(self.text):  # noqa: ASYNC110 - generators do not report what was taken of them
                await asyncio.sleep(0)

    async def grow(self, text: bytes = b"", *, ended: bool = False) -> None:
        async with self._news:
            self.text += text
            self._ended = ended
            self._news.notify_all()

    async def end_readers(self) -> None:
        """Those that follow now."""
        async with self._news:
            self._killed += 1
            self._news.notify_all()

    def _last(self, lines: int | None) -> int:
        if lines is None:
            return 0
        return len(self.text) - len(b"".join(self.text.splitlines(keepends=True)[-lines:] if lines else []))

    def _has_news(self, at: int, killed: int) -> bool:
        return len(self.text) > at or self._ended or self.fails > 0 or self._killed > killed

    async def _read(self, start: int, *, follow: bool, limit: int | None) -> AsyncGenerator[bytes, None]:
        self.readers += 1
        try:
            data = self.text[start : self.shown][:limit]
            for piece in data.splitlines(keepends=True) if self.slow else [data]:
                await asyncio.sleep(0.02 if self.slow else 0)
                if piece:
                    yield piece
            self.taken = max(self.taken, start + len(data))
            at, killed = len(self.text), self._killed
            while follow:
                async with self._news:
                    await self._news.wait_for(partial(self._has_news, at, killed))
                if self.fails:
                    raise RemoteFailed("it was cut")
                if self._killed > killed:
                    return
                data, at = self.text[at:], len(self.text)
                if data:
                    yield data
                    self.taken = at  # the reader asks for more
                follow = not self._ended
        finally:
            self.readers -= 1


class Reader:
    """Somebody who reads, and what they have read."""

    def __init__(self, logs: Logs, **asked: Any) -> None:
        self.text = b""
        self._task = asyncio.create_task(self._read(logs, LogSlice(POD, "c", **asked)))

    async def _read(self, logs: Logs, what: LogSlice) -> None:
        async for data in logs.read(what):
            self.text += data

    async def has(self, text: bytes) -> None:
        async with asyncio.timeout(60):
            while self.text != text and not self._task.done():  # noqa: ASYNC110 - its condition has no event
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


def logs_of(site: GrowingLog, timeouts: LogTimeouts | None = None) -> Logs:
    return Logs(site, PodStore(), timeouts=timeouts or LogTimeouts(pause=0.01))


IMPATIENT = LogTimeouts(away=0, short=0, pause=0.01)


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
    reported = b"1970-01-01T00:00:00Z one\n1970-01-01T00:00:00Z two\n"
    assert await Reader(logs_of(site), timestamps=True).end() == reported
    assert await Reader(logs_of(site), timestamps=True, limit_bytes=8).end() == reported[:8]


async def test_all_who_follow_a_log_have_one_reader_and_each_its_own_beginning() -> None:
    site = GrowingLog(b"one\ntwo\n")
    shared = logs_of(site)
    first = Reader(shared, follow=True)
    await first.has(b"one\ntwo\n")
    second = Reader(shared, follow=True, lines=1)
    await second.has(b"two\n")
    assert site.readers == 1
    assert [what.follow for what in site.slices] == [True, False]
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


async def test_a_client_behind_the_shared_reader_misses_nothing() -> None:
    site = GrowingLog(b"")
    following = logs_of(site).read(LogSlice(POD, "c", follow=True))
    assert await anext(following) == b""
    pieces = [b"%d" % number * (KEPT_BYTES // 2) for number in range(5)]
    for piece in pieces:  # the shared reader takes each piece, the client none
        await site.grow(piece)
        await site.is_read()
    await site.grow(ended=True)
    assert b"".join([data async for data in following]) == b"".join(pieces)


async def test_a_reader_that_is_cut_goes_on_from_the_byte_that_it_had() -> None:
    site = GrowingLog(b"one\n")
    reader = Reader(logs_of(site), follow=True)
    await reader.has(b"one\n")
    site.away, site.fails = True, 1
    await site.grow(b"two\n")
    await site.is_left()
    site.away, site.fails = False, 0
    await reader.has(b"one\ntwo\n")
    await site.grow(b"three\n", ended=True)
    assert await reader.end() == b"one\ntwo\nthree\n"
    assert {what.offset for what in site.slices[1:]} == {4, len(b"one\ntwo\nthree\n")}


async def test_a_site_that_stays_away_is_an_error_after_what_had_come() -> None:
    site = GrowingLog(b"one\n")
    reader = Reader(logs_of(site, IMPATIENT), follow=True)
    await reader.has(b"one\n")
    site.away, site.fails = True, 1
    await site.grow()
    with pytest.raises(SiteError, match="it was cut"):
        await reader.end()


async def test_a_reader_that_the_login_node_ends_is_not_the_end_of_the_log() -> None:
    """As `tail` that was killed: the container runs on."""
    site = GrowingLog(b"one\n")
    reader = Reader(logs_of(site), follow=True)
    await reader.has(b"one\n")
    await site.end_readers()
    await site.grow(b"two\n")
    await reader.has(b"one\ntwo\n")
    await site.grow(b"three\n", ended=True)
    assert await reader.end() == b"one\ntwo\nthree\n"


async def test_a_log_is_not_whole_before_the_length_that_the_runner_noted() -> None:
    """The file system of the login node shows the last bytes late."""
    site = GrowingLog(b"one\ntwo\n")
    site.shown, site.length = 4, 8
    await site.grow(ended=True)
    reader = Reader(logs_of(site), follow=True)
    await reader.has(b"one\n")
    site.shown = None
    assert await reader.end() == b"one\ntwo\n"


async def test_bytes_that_never_arrive_are_an_error() -> None:
    site = GrowingLog(b"one\n")
    site.length = 8
    await site.grow(ended=True)
    with pytest.raises(RemoteFailed, match="has 4 bytes at the login node, but 8 on the compute node"):
        await Reader(logs_of(site, IMPATIENT), follow=True).end()


async def test_a_slow_transfer_goes_on_after_the_pod_is_over() -> None:
    """30 MB over a slow line take longer than anything else at a pod's end."""
    site, pod_store = GrowingLog(), PodStore()
    pod_store.add(POD).finalize()
    text = b"".join(b"%d\n" % number for number in range(100))
    site.text, site.slow = text, True
    logs = Logs(site, pod_store, timeouts=LogTimeouts(last_lines=0.01))
    assert await Reader(logs, follow=True).end() == text


async def test_who_follows_the_next_run_has_a_reader_of_its_own() -> None:
    site = GrowingLog(b"one\n")
    shared = logs_of(site)
    first = Reader(shared, follow=True)
    await first.has(b"one\n")
    site.text, site.run_name = b"another run\n", "0.1"
    second = Reader(shared, follow=True)
    await second.has(b"another run\n")
    await first.leave()
    await site.grow(ended=True)
    assert await second.end() == b"another run\n"


@pytest.mark.parametrize("reason", FINAL)
async def test_a_log_whose_rest_is_gone_is_an_error(reason: NoLogReason) -> None:
    site = GrowingLog(b"one\n")
    reader = Reader(logs_of(site), follow=True)
    await reader.has(b"one\n")
    site.missing, site.fails = reason, 1
    await site.grow()
    with pytest.raises(RemoteFailed, match=f"cannot be read at the site: {reason}"):
        await reader.end()


async def test_a_log_whose_folder_was_removed_after_its_end_was_read_has_ended() -> None:
    site = GrowingLog(b"one\n")
    reader = Reader(logs_of(site), follow=True)
    await reader.has(b"one\n")
    site.missing = NoLogReason.NO_FOLDER
    await site.grow(b"two\n", ended=True)
    assert await reader.end() == b"one\ntwo\n"


async def test_followers_get_an_error_when_the_service_ends() -> None:
    """What they have of the log is not all of it."""
    site = GrowingLog(b"one\n")
    shared = logs_of(site)
    reader = Reader(shared, follow=True)
    await reader.has(b"one\n")
    shared.end_followers()
    with pytest.raises(SiteError, match="the sidecar is stopping"):
        await reader.end()
    await site.is_left()


async def test_followers_end_with_the_pod_also_where_no_end_was_recorded() -> None:
    site, pod_store = GrowingLog(b"one\n"), PodStore()
    reader = Reader(Logs(site, pod_store), follow=True)
    tracked = pod_store.add(POD)
    await reader.has(b"one\n")
    tracked.set_job_id("7")
    tracked.finalize()
    assert await reader.end() == b"one\n"


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (NoLogReason.NO_PREVIOUS_RUN, "container 'c' has not run before"),
        (NoLogReason.WAITING, "container 'c' is waiting to start$"),
        (NoLogReason.STAYED_ON_NODE, "stayed on its node"),
        (NoLogReason.NO_FOLDER, "its pod has no folder at the site"),
    ],
)
async def test_why_there_is_none(reason: NoLogReason, words: str, *, follow: bool) -> None:
    site = GrowingLog()
    site.missing = reason
    with pytest.raises(InvalidRequest, match=words):
        await Reader(logs_of(site), follow=follow).end()
