"""Work on one pod that takes processor time: in a thread, one pod after another, and for a limited time.

The event loop stays responsive. Pods of usual size do not wait for large ones. A short request can describe a large
pod, because volumes may repeat a key of a ConfigMap and arguments a variable: the work itself reports that.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from remote_slurm.errors import InvalidRequest
from remote_slurm.service.process_tuning import YieldingLock
from remote_slurm.ssh.threads import settle

_T = TypeVar("_T")

# Bytes of a request, and of the rendered pod. A pod with little data in ConfigMaps is smaller, and takes milliseconds
LARGE_BYTES = 256 * 1024
# Processor time; the largest pod that all limits allow takes a few seconds
MOST_SECONDS = 20.0
_LOOK_SECONDS = 0.05
# Names of the threads, as debuggers show them; tests wait for busy ones
_BUSY, _IDLE = "render", "render-idle"


class TookTooLong(Exception):
    """Raised within the thread, to end it."""


class LargerThanItsRequestError(Exception):
    """Raised by work whose pod comes to more bytes than it was called with: the work is repeated among large pods."""


class Rendering:
    """Lives in one event loop."""

    def __init__(self, seconds: float = MOST_SECONDS) -> None:
        self._seconds = seconds
        self._small, self._large = YieldingLock(), YieldingLock()
        self._idle: list[_Worker] = []

    @asynccontextmanager
    async def turn(self, size: int) -> AsyncIterator[None]:
        """Hold the lock of requests of this size, in the order of arrival."""
        async with (self._large if size > LARGE_BYTES else self._small).turn():
            yield

    async def rendered(self, size: int, work: Callable[..., _T], *args: Any) -> _T:
        """Return what `work(*args, most_bytes)` returns, for a request of `size` bytes.

        `work` raises LargerThanItsRequestError if its pod comes to more than `most_bytes`. Raises what `run` raises.
        """
        if size <= LARGE_BYTES:
            with contextlib.suppress(LargerThanItsRequestError):
                async with self._small.turn():
                    return await self.run(work, *args, LARGE_BYTES)
        async with self._large.turn():
            return await self.run(work, *args, math.inf)

    async def run(self, work: Callable[..., _T], *args: Any) -> _T:
        """Return what `work(*args)` returns. The work must have no side effects.

        Raises InvalidRequest at the end of its processor time. Wall time does not count: the machine may be busy.
        """
        worker = self._idle.pop() if self._idle else _Worker(self._seconds)
        try:
            return await worker.run(partial(contextvars.copy_context().run, work, *args))
        finally:
            if worker.is_idle:
                self._idle.append(worker)
            else:
                worker.retire()


class _Worker:
    """A thread for one work after another, since a small pod takes hardly longer than the start of a thread."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.is_idle = True
        self._is_stopped = False
        self._works: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._id = self._clock = 0
        self._begun = 0.0
        self._thread = threading.Thread(target=self._run, name=_IDLE, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        clock = time.pthread_getcpuclockid(threading.get_ident())
        with contextlib.suppress(TookTooLong):  # where the work has just ended
            while work := self._works.get():
                self._begun = time.clock_gettime(clock)
                self._id, self._clock = threading.get_ident(), clock
                work()
                self._id = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return what `work()` returns. A caller that is cancelled does not stop the work. Raises InvalidRequest."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()
        self._thread.name, self.is_idle = _BUSY, False
        self._works.put(partial(settle, loop, future, work))
        # a timer costs less than a task that waits for the future, and nearly every work ends long before
        self._timer = loop.call_later(self._seconds, self._look, future)
        try:
            return await future
        finally:
            self._timer.cancel()
            self.is_idle = not (future.cancelled() or self._is_stopped)
            if self.is_idle:
                # not by the thread itself: it might come late, when the next work has begun
                self._thread.name = _IDLE

    def _look(self, future: asyncio.Future[_T]) -> None:
        """End the present work if it has taken all its processor time."""
        if future.done():
            return
        left = self._seconds - self._taken
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(max(left, _LOOK_SECONDS), self._look, future)
            return
        self._is_stopped = True
        # Python has no other way. If the work has ended meanwhile, nothing happens
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._id), ctypes.py_object(TookTooLong))
        future.set_exception(
            InvalidRequest(
                f"preparing the pod's job takes more than {self._seconds:g} s of processor time: use fewer or smaller "
                "volumes, variables and containers"
            )
        )

    @property
    def _taken(self) -> float:
        """The processor time that the present work has taken; 0 before its begin and after its end."""
        try:
            return time.clock_gettime(self._clock) - self._begun if self._id else 0
        except OSError:
            return 0

    def retire(self) -> None:
        """Let the thread end after its present work."""
        self._works.put(None)
