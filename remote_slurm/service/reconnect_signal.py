"""Ends pauses early when the site answers again."""

from __future__ import annotations

import asyncio


class ReconnectSignal:
    """The poller, which is the first to notice, notifies everything that waits to ask again."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def notify(self) -> None:
        """The site answers again after an outage."""
        self._next.set()
        self._next = asyncio.Event()

    def subscribe(self) -> Pause:
        """A pause that a notification from now on ends, also one that comes before the pause begins."""
        return Pause(self._next)


class Pause:
    """The time before a question is asked again."""

    def __init__(self, returned: asyncio.Event) -> None:
        self._returned = returned

    async def wait(self, seconds: float) -> None:
        """Wait so long, or until the site answers again."""
        try:
            async with asyncio.timeout(seconds):
                await self._returned.wait()
        except TimeoutError:
            return
