"""The moment in which the site answers again: whoever waits to ask again need not wait longer."""

from __future__ import annotations

import asyncio


class Returns:
    """Told by the poller, which is the first to notice."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def happened(self) -> None:
        """It did not answer before, and does now."""
        self._next.set()
        self._next = asyncio.Event()

    def watch(self) -> Pause:
        """From now on: a return while something is asked in vain ends the pause that follows before it began."""
        return Pause(self._next)


class Pause:
    """Before something is asked again."""

    def __init__(self, returned: asyncio.Event) -> None:
        self._returned = returned

    async def wait(self, seconds: float) -> None:
        """So long, or until the site answers again."""
        try:
            async with asyncio.timeout(seconds):
                await self._returned.wait()
        except TimeoutError:
            return
