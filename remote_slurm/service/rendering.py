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
from typing import Any, TypeVar

from remote_slurm.errors import InvalidRequest
from remote_slurm.service.scale import YieldingLock
from remote_slurm.ssh.threads import in_thread

_T = TypeVar("_T")

# Bytes of a request, and of the rendered pod. A pod with little data in ConfigMaps is smaller, and takes milliseconds
LARGE_BYTES = 256 * 1024
# Processor time; the largest pod that all limits allow takes a few seconds
MOST_SECONDS = 20.0
_LOOK_SECONDS = 0.05


class TookTooLong(Exception):
    """Raised within the thread, to end it."""


class LargerThanItsRequestError(Exception):
    """Raised by work whose pod comes to more bytes than it was called with: the work is repeated among large pods."""


class Rendering:
    """Lives in one event loop."""

    def __init__(self, seconds: float = MOST_SECONDS) -> None:
        self._seconds = seconds
        self._small, self._large = YieldingLock(), YieldingLock()

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
        thread = _Thread()
        context = contextvars.copy_context()

        def working() -> _T:
            thread.begins()
            return context.run(work, *args)

        working_task = asyncio.create_task(in_thread("render", working))
        try:
            while (left := self._seconds - thread.seconds) > 0:
                await asyncio.wait({working_task}, timeout=max(left, _LOOK_SECONDS))
                if working_task.done():
                    return working_task.result()
        finally:
            working_task.cancel()
        thread.end()
        raise InvalidRequest(
            f"preparing the pod's job takes more than {self._seconds:g} s of processor time: use fewer or smaller "
            "volumes, variables and containers"
        )


class _Thread:
    """The thread of one work, as seen from outside."""

    def __init__(self) -> None:
        self._id = 0
        self._clock = 0

    def begins(self) -> None:
        """Called in the thread."""
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        self._id = threading.get_ident()

    @property
    def seconds(self) -> float:
        """The processor time that the thread has taken; 0 before its begin and after its end."""
        try:
            return time.clock_gettime(self._clock) if self._id else 0
        except OSError:
            return 0

    def end(self) -> None:
        """Python has no other way to end a thread. One that has ended meanwhile is not found, and nothing happens."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._id), ctypes.py_object(TookTooLong))
