"""Work that keeps the event loop busy, of many who come at once: one by one, and all else that is ready in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Lives in one event loop. Without it the answers of the first would wait until the last of them is read."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Whoever came first has the first turn; what happens in it must not wait for anything."""
        async with self._lock:
            await asyncio.sleep(0)  # a lock alone is free again before anybody asks for it
            yield
