"""How often a site is asked for a connection: sites ban addresses that knock too often.

Three rules: growing, jittered waits after failures; after a refusal that only a person can change, no attempt before a
file changes or half an hour has passed; and never more than a number of attempts per minute.
"""

import copy
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenacity import RetryCallState, wait_random_exponential
from tenacity.wait import wait_base

from remote_slurm.errors import AuthenticationRefused, HostKeyRefused, SiteError, Unreachable

_MINUTE = 60.0
_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Pace:
    """`waits` gives the seconds after the n-th failure in a row, `after_refusal` those after a refused key."""

    waits: wait_base = field(default_factory=lambda: wait_random_exponential(multiplier=1, min=0.5, max=_MINUTE))
    after_refusal: float = 30 * _MINUTE
    per_minute: int = 30


class CircuitBreaker:
    """Answers whether an attempt may be made now; while it may not, everybody gets the last error at once."""

    def __init__(self, pace: Pace, files: Sequence[Path], clock: Callable[[], float]) -> None:
        self._pace = pace
        self._files = tuple(files)
        self._clock = clock
        self._attempts: deque[float] = deque()
        self._failures = 0
        self._closed_until = 0.0
        self._stamps: tuple[_Stamp, ...] = ()
        self.last_error: SiteError | None = None

    def sibling(self) -> "CircuitBreaker":
        """A breaker for another connection to the same hosts; the limit per minute is for both together."""
        other = CircuitBreaker(self._pace, self._files, self._clock)
        other._attempts = self._attempts
        return other

    def attempt(self) -> None:
        """Record an attempt that is about to be made, or raise the error that forbids it."""
        now = self._clock()
        if self.last_error and now < self._closed_until and not self._corrected():
            raise copy.copy(self.last_error)
        self.count()

    def count(self) -> None:
        """Record one more connection, such as that to another login node; Unreachable where there were too many."""
        now = self._clock()
        while self._attempts and self._attempts[0] <= now - _MINUTE:
            self._attempts.popleft()
        if len(self._attempts) >= self._pace.per_minute:
            because = f"; the last attempt: {self.last_error}" if self.last_error else ""
            raise Unreachable(
                f"not connecting: there were {self._pace.per_minute} connections within a minute{because}"
            )
        self._attempts.append(now)

    def failed(self, error: SiteError) -> None:
        """Say that the attempt failed; the next one has to wait."""
        self.last_error = error
        self._failures += 1
        self._stamps = self._read_stamps()
        refused = isinstance(error, AuthenticationRefused | HostKeyRefused)
        self._closed_until = self._clock() + (self._pace.after_refusal if refused else self._wait())

    def succeeded(self) -> None:
        """Say that the attempt succeeded."""
        self._failures = 0
        self._closed_until = 0.0
        self.last_error = None

    @property
    def seconds_left(self) -> float:
        """How long no attempt will be made, unless a file changes."""
        return max(0.0, self._closed_until - self._clock())

    def _wait(self) -> float:
        state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
        state.attempt_number = self._failures
        return self._pace.waits(state)

    def _corrected(self) -> bool:
        """Whether a key, a certificate or the known hosts file has changed since a refusal."""
        refused = isinstance(self.last_error, AuthenticationRefused | HostKeyRefused)
        return refused and self._read_stamps() != self._stamps

    def _read_stamps(self) -> tuple[_Stamp, ...]:
        return tuple(_stamp(path) for path in self._files)


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ctime_ns, found.st_size, found.st_ino  # a chmod counts, too
