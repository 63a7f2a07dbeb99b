"""Reads records beside the calls of squeue, which wait for no file system that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from remote_slurm.errors import SiteError


class RecordReader:
    """Calls `read`, with whether the call is early, for a poll or between two polls: one call at a time.

    A call that takes longer than a poll waits for it goes on, and `failed` gets its error.
    """

    def __init__(self, read: Callable[[bool], Awaitable[None]], failed: Callable[[SiteError], None]) -> None:
        self._read = read
        self._failed = failed
        self._one_at_a_time = asyncio.Lock()
        self._calls: dict[bool, asyncio.Task[None]] = {}  # by whether they are early
        self._late: set[asyncio.Task[None]] = set()

    def begin(self, *, early: bool = False) -> asyncio.Task[None]:
        """A new call, or the one that goes on. A poll joins no early call, which does less: its own follows."""
        kinds = (early, False) if early else (False,)
        found = next((self._calls[kind] for kind in kinds if kind in self._calls), None)
        if found is None:
            found = self._calls[early] = asyncio.create_task(self._run(early=early), name="read records")
        return found

    async def has_ended(self, call: asyncio.Task[None], seconds: float) -> bool:
        """Wait for the call, but not if it was waited for in vain before. Raises SiteError if it has failed."""
        if call in self._late:
            seconds = 0
        await asyncio.wait({call}, timeout=seconds)
        if not call.done():
            if call not in self._late:
                self._late.add(call)
                call.add_done_callback(self._end_late)
            return False
        self._forget(call)
        await call
        return True

    async def stop(self) -> None:
        """Cancel the calls that go on."""
        calls = list(self._calls.values())
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        self._calls.clear()
        self._late.clear()

    async def _run(self, *, early: bool) -> None:
        async with self._one_at_a_time:
            await self._read(early)

    def _end_late(self, call: asyncio.Task[None]) -> None:
        if call.cancelled():
            return
        error = call.exception()
        if error is not None and not isinstance(error, SiteError):
            return  # the next poll raises it
        self._forget(call)
        if error is not None:
            self._failed(error)

    def _forget(self, call: asyncio.Task[None]) -> None:
        self._late.discard(call)
        self._calls = {kind: each for kind, each in self._calls.items() if each is not call}
