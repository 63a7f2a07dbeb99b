"""What keeps one process responsive and small with ten thousand pods. Each part names the measurement that required it.

The loop over all pods that lets other tasks run in between is `site/cooperative.py`, because the site needs it as well.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

# Connections of clients (which are limited), SSH sessions and logs need no more descriptors than this
WANTED_DESCRIPTORS = 65_536

YOUNG_OBJECTS = 20_000

# Fewer submissions at once leave no holes in the heap that are worth a trim of some milliseconds
BURST = 100
# By then the last replies of a burst are written, and their requests are freed
AFTER_SECONDS = 1.0

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# Chunks of a log are allocated and freed by the thousand, and are at most this large
_CHUNK_BYTES = 8 * 1024 * 1024
_KEPT_BYTES = 32 * 1024 * 1024


class YieldingLock:
    """A lock for work that blocks the event loop: between two holders, every task that is ready runs once.

    Measured with 1,000 creates at once: with an ordinary lock, four pods were sent to the site before all other
    requests had been read, since the lock was free again before the next holder asked for it.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold the lock, in the order of arrival. The body must not wait for anything."""
        async with self._lock:
            await asyncio.sleep(0)
            yield


class MemoryTrim:
    """Returns memory to the system after a burst of submissions.

    Measured with 10,000 pods: `collect_and_trim` takes 0.1 s. Without it the garbage collector takes that time later,
    while a client waits for a status, and the sidecar keeps the memory that the burst needed.
    """

    def __init__(self, trim_memory: Callable[[], object] | None = None, after: float = AFTER_SECONDS) -> None:
        self._trim_memory = trim_memory or collect_and_trim
        self._after = after
        self._most = 0

    def count(self, under_way: int) -> None:
        """Take how many submissions are under way now; trim `after` seconds after the last one of a burst."""
        self._most = max(self._most, under_way)
        if not under_way and self._most >= BURST:
            self._most = 0
            asyncio.get_running_loop().call_later(self._after, self._trim_memory)


def collect_and_trim() -> None:
    """Free garbage, exempt what is left from later collections, and return free memory to the system."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # tracked pods live for long: a collection need not visit them while a client waits
    trim()


def collect_rarely() -> None:
    """Let the garbage collector visit young objects less often: after so many more of them.

    Measured with 1,000 creates at once: after 700 objects, CPython's default, a seventh of the processor time was
    spent on visits to requests that were being answered.
    """
    gc.set_threshold(YOUNG_OBJECTS)


def trim() -> bool:
    """Return free memory to the system (malloc_trim(3)), and whether there was any. Only glibc keeps free memory."""
    malloc_trim = _of_libc("malloc_trim")
    return bool(malloc_trim and malloc_trim(0))


def keep_log_chunks() -> bool:
    """Let malloc reuse the memory of one log chunk for the next one (mallopt(3)). Return whether it will.

    Measured with a log of 1 GiB: the kernel took a quarter of the processor time to zero fresh pages for each chunk.
    """
    mallopt = _of_libc("mallopt")
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _CHUNK_BYTES) and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))


def _of_libc(name: str) -> Any:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files towards the hard one (getrlimit(2)). Return the limit that applies.

    Measured with the usual soft limit of 1,024: 1,085 idle connections left no descriptor for /healthz. A sandbox may
    forbid raising it (SystemCallFilter of systemd); its own limit applies then (LimitNOFILE).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(WANTED_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
