"""Memory after many pods came at once: what they needed goes back to the system, and what stays is not walked again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

from remote_slurm.service.malloc import trim

# Fewer submissions at a time leave no holes worth the milliseconds
BURST = 100
# Until then the last answers are written, and their requests forgotten
AFTER_SECONDS = 1.0


def tidy() -> None:
    """Costs a tenth of a second with ten thousand pods, which the collector would take later, when a status waits."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # what is known of pods stays: collections need not look at it while somebody waits for a status
    trim()


class Bursts:
    """Is told how many pods are on their way, and calls `give_back` a moment after the last of many has ended."""

    def __init__(self, give_back: Callable[[], object] = tidy, after: float = AFTER_SECONDS) -> None:
        self._give_back = give_back
        self._after = after
        self._most = 0

    def count(self, under_way: int) -> None:
        self._most = max(self._most, under_way)
        if not under_way and self._most >= BURST:
            self._most = 0
            asyncio.get_running_loop().call_later(self._after, self._give_back)
