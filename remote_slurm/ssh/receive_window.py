"""How much the other side of a stream may send: credit that grows for a client that keeps up, and bounds memory."""

import time

# What the site may send before anything is taken of it: a client that reads nothing holds no more
FIRST_WINDOW = 128 * 1024
# A window per round trip is all that a stream can transfer, so that it grows for a client that keeps up
_LARGEST_WINDOW = 4 * 1024 * 1024
# For all streams of a connection together, beyond their first windows
_GROWTH_BUDGET = 32 * 1024 * 1024
_GROWS_WITHIN_SECONDS = 1.0


class WindowBudget:
    """How much further the windows of a connection's streams may grow."""

    def __init__(self, size: int = _GROWTH_BUDGET) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        """Whether there is so much left; it is taken then."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size


class ReceiveWindow:
    """The window of one stream, in bytes. What `credit` and `grown` return is to be granted to the other side."""

    def __init__(self, budget: WindowBudget, size: int = FIRST_WINDOW) -> None:
        self.size = self._first = size
        self._budget = budget
        self._taken = 0  # bytes that the other side may send again, and does not know of yet
        self._round, self._round_began = 0, time.monotonic()
        self._closed = False

    def took(self, size: int) -> None:
        """The client has taken so many bytes."""
        self._taken += size
        self._round += size

    def credit(self) -> int:
        """What was taken, in steps that are worth a packet; 0 if it is less."""
        if self._taken < self.size // 8:
            return 0
        credit, self._taken = self._taken, 0
        return credit

    def grown(self) -> int:
        """Double the window of a client that waits for the site, and took a whole one within a second. Else 0."""
        if self._round < self.size or self._closed:
            return 0
        now = time.monotonic()
        quick = now - self._round_began < _GROWS_WITHIN_SECONDS
        self._round, self._round_began = 0, now
        if not (quick and self.size < _LARGEST_WINDOW and self._budget.take(self.size)):
            return 0
        credit, self._taken = self._taken + self.size, 0
        self.size *= 2
        return credit

    def close(self) -> None:
        """Give back by how much it has grown."""
        self._closed = True
        self._budget.give_back(self.size - self._first)
