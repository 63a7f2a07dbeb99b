"""How often the site is polled: less often while squeue is slow, since slurmctld is busy then."""

from __future__ import annotations

from collections import deque

from remote_slurm.log import info, warning

# The pause is so many times as long as squeue took
PAUSE_FACTOR = 10
# It is at most so many times PollInterval, and at most so long
MOST_INTERVALS = 10
LONGEST_SECONDS = 300.0
# squeue is slow if it takes so long three times in a row, and at least a fifth of PollInterval
SLOW_SECONDS = 2.0
SLOW_SHARE = 0.2
SLOW_POLLS = 3
# It is fast again if it once takes this share of that
FAST_SHARE = 0.5


class PollPace:
    """Remembers how long the last calls of squeue took."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=SLOW_POLLS)
        self._is_slow = False

    @property
    def squeue_seconds(self) -> float | None:
        """How long the last squeue took; None before the first one."""
        return self._last[-1] if self._last else None

    @property
    def is_slow(self) -> bool:
        """Whether squeue is slow, so that polls are less frequent."""
        return self._is_slow

    def seconds(self, interval: float) -> float:
        """The seconds between two polls; `interval` are those while squeue is not slow."""
        if not self._is_slow:
            return interval
        longest = min(MOST_INTERVALS * interval, LONGEST_SECONDS)
        return max(interval, min(PAUSE_FACTOR * min(self._last), longest))

    def took(self, seconds: float, interval: float) -> None:
        """Note how long squeue took, and log if polls become less frequent, or as frequent again."""
        self._last.append(seconds)
        slow = max(SLOW_SECONDS, SLOW_SHARE * interval)
        if not self._is_slow and len(self._last) == SLOW_POLLS and min(self._last) >= slow:
            self._is_slow = True
            warning(
                "squeue is slow, polling less often", squeue_seconds=round(seconds, 1), seconds=self.seconds(interval)
            )
        elif self._is_slow and seconds < FAST_SHARE * slow:
            self._is_slow = False
            info("squeue is fast again, polling as often as before", seconds=interval)
