"""Long work within the event loop, in pieces: what takes a millisecond does not wait for ten thousand jobs."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import TypeVar

_T = TypeVar("_T")
_PIECE = 20


async def unhurried(items: Iterable[_T]) -> AsyncGenerator[_T, None]:
    """Yield the items, and let other tasks run after every few of them."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % _PIECE == 0:
            await asyncio.sleep(0)
