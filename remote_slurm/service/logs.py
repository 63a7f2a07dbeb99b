"""Logs for any number of clients. All followers of one log share a reader at the site: sshd allows few sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.status.log_slice import LogSlice, Stamper
from remote_slurm.domain.status.no_log import MAY_BE_ON_NODE, NoLogReason, no_log_message
from remote_slurm.errors import InvalidRequest, RemoteFailed, SiteError
from remote_slurm.service.followers import Followers
from remote_slurm.service.log_tail import LogTimeouts, Retries, Tail
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.reconnect_signal import ReconnectSignal
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.operations.log import NoLog, OpenLog
from remote_slurm.site.site import Site

# So many refusals of Slurm are kept for clients that ask for the logs of refused pods
_REFUSALS = 1000


async def _polled() -> bool:
    """For logs of pods that are known."""
    return False


class Logs:
    """Reads and follows the logs of one site's pods."""

    def __init__(
        self,
        site: Site,
        pod_store: PodStore,
        returns: ReconnectSignal | None = None,
        timeouts: LogTimeouts | None = None,
        first_poll: Callable[[], Awaitable[bool]] = _polled,
    ) -> None:
        self._site = site
        self._pod_store = pod_store
        self._returns = returns or ReconnectSignal()
        self._patience = timeouts or LogTimeouts()
        self._first_poll = first_poll
        self._tails: dict[tuple[str, str], Tail] = {}
        self._closing = asyncio.Event()
        self._followers = Followers()
        self._refused: dict[str, str] = {}

    def remember_refusal(self, pod: str, message: str) -> None:
        """Keep why a pod that is no longer tracked has no job. The last refusals are kept."""
        self._refused[pod] = message
        while len(self._refused) > _REFUSALS:
            del self._refused[next(iter(self._refused))]

    def end_followers(self) -> None:
        """End followed logs with an error: clients can ask for the rest again."""
        self._closing.set()

    async def read(self, what: LogSlice) -> AsyncGenerator[bytes, None]:
        """The bytes as `kubectl logs` prints them. The first item, which may be empty, comes with the site's reply.

        A followed log ends once all bytes that the runner noted have arrived. Raises InvalidRequest if there is no such
        log (yet), and SiteError, also after some bytes.
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
        """From the client's own first byte, through what other followers have read already, to the end."""
        with self._followers.admitted((what.pod, what.container)):
            async with aclosing(self._followed(what)) as followed:
                async for data in followed:
                    yield data

    async def _followed(self, what: LogSlice) -> AsyncGenerator[bytes, None]:
        tail, log = await self._joined(what)
        stamp = _stamp(what, log)
        offset = log.start
        try:
            yield b""
            if tail.first is not log:  # another client follows it already: read up to where its reader is
                async for data in _until_error(log):
                    offset += len(data)
                    yield stamp(data)
            while data := await tail.after(offset, self._closing):
                if offset < tail.begin:  # further behind than what the reader keeps
                    async for missed in self._missed(what, offset, tail):
                        offset += len(missed)
                        yield stamp(missed)
                else:
                    offset += len(data)
                    yield stamp(data)
        finally:
            await self._leave(what, tail)

    async def _missed(self, what: LogSlice, offset: int, tail: Tail) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset` on that the shared reader no longer keeps."""
        retries = self._retries()
        while offset < tail.begin:
            try:
                log = await self._open(_from(what, tail.in_log(offset), tail.run, follow=False))
                async for data in _all(log):
                    offset += len(data)
                    retries.progress()
                    yield data
                retries.is_short(offset, tail.begin)
            except SiteError as error:
                retries.failed(error)
            if offset < tail.begin:
                await retries.pause()

    async def _joined(self, what: LogSlice) -> tuple[Tail, OpenLog]:
        """The shared reader of the log, and the client's own reply with which it begins."""
        tail = self._tails.get((what.pod, what.container))
        if tail is not None and not tail.is_done and (log := await self._join(tail, what)) is not None:
            return tail, log
        log = await self._open(replace(what, limit_bytes=None))

        async def reopen(offset: int, run: str) -> OpenLog | NoLog:
            return await self._try_open(_from(what, offset, run, follow=True))

        tail = Tail(log, reopen, self._over(what.pod), self._retries())
        self._tails[what.pod, what.container] = tail
        return tail, log

    async def _join(self, tail: Tail, what: LogSlice) -> OpenLog | None:
        """Join the reader; None if it still brings the rest of an earlier run."""
        tail.followers += 1
        try:
            log = await self._open(replace(what, follow=False, limit_bytes=None))
        except BaseException:
            await self._leave(what, tail)
            raise
        if log.run == tail.run:
            return log
        await self._leave(what, tail)
        await log.chunks.aclose()
        return None

    async def _leave(self, what: LogSlice, tail: Tail) -> None:
        tail.followers -= 1
        if tail.followers == 0:
            if self._tails.get((what.pod, what.container)) is tail:
                del self._tails[what.pod, what.container]
            await tail.close()

    async def _open(self, what: LogSlice) -> OpenLog:
        log = await self._try_open(what)
        # a sidecar that has just started does not know yet which logs are on a node, or why there is none
        if isinstance(log, NoLog) and await self._first_poll():
            log = await self._try_open(what)
        if isinstance(log, NoLog):
            refused = self._refused.get(what.pod) if log.reason is NoLogReason.NO_FOLDER else None
            raise InvalidRequest(refused or _no_log(log.reason, what, self._pod_store.get(what.pod)))
        return log

    async def _try_open(self, what: LogSlice) -> OpenLog | NoLog:
        tracked = self._pod_store.get(what.pod)
        over = tracked is not None and tracked.is_over
        folder = tracked.on_node if tracked else None
        if folder is None:
            return await self._site.open_log(what, over=over)
        try:
            on_node = await self._site.open_log(what, over=over, at=folder)
            if not isinstance(on_node, NoLog) or on_node.reason is not NoLogReason.NO_FOLDER:
                return on_node
            failure = RemoteFailed("the log could not be read: the pod's folder on its node has been removed")
        except RemoteFailed as error:
            failure = error
        # the job ended just now, and its logs may have been copied from the node meanwhile
        log = await self._site.open_log(what, over=over)
        if isinstance(log, NoLog) and log.reason in MAY_BE_ON_NODE:
            raise failure
        return log

    def _over(self, pod: str) -> Callable[[], Awaitable[object]]:
        """Returns once the pod is over, whatever the site shows: a job that was killed records no end."""

        async def over() -> None:
            tracked = self._pod_store.get(pod)
            await (asyncio.Event() if tracked is None else tracked.finished).wait()

        return over

    def _retries(self) -> Retries:
        return Retries(self._returns, self._patience)


async def _all(log: OpenLog) -> AsyncGenerator[bytes, None]:
    async with aclosing(log.chunks):
        async for chunk in log.chunks:
            yield chunk


async def _until_error(log: OpenLog) -> AsyncGenerator[bytes, None]:
    """For a follower, which continues with what the shared reader brings."""
    async with aclosing(_all(log)) as chunks:
        try:
            async for chunk in chunks:
                yield chunk
        except SiteError:
            return


def _from(what: LogSlice, offset: int, run: str, *, follow: bool) -> LogSlice:
    return LogSlice(what.pod, what.container, offset=offset, run=run, follow=follow)


def _stamp(what: LogSlice, log: OpenLog) -> Callable[[bytes], bytes]:
    if not what.timestamps:
        return bytes
    stamper = Stamper(log.start, log.notes)
    return lambda data: stamper.stamp(data, time.time())


def _no_log(reason: NoLogReason, what: LogSlice, tracked: TrackedPod | None) -> str:
    if tracked is None:
        return no_log_message(reason, what.container)
    ended = "its pod is being deleted" if tracked.deleted else tracked.failure
    container = tracked.summary().container(what.container)
    waiting = container.message if container.phase is ContainerPhase.WAITING else ""
    return no_log_message(reason, what.container, ended=ended, waiting=waiting)
