"""How many tasks a job array may have, as far as Slurm has shown it: limits of jobs count each task."""

from __future__ import annotations

import time
from collections.abc import Callable

from remote_slurm.domain.submit_outcome import SbatchFailed
from remote_slurm.log import info
from remote_slurm.site.batcher import MOST_REQUESTS

FORGET_SECONDS = 600.0


class ArrayLimit:
    """Half of the array that Slurm refused, if it then accepted a smaller one or a single pod of it.

    A wrong option, for which Slurm refuses arrays and pods alike, changes nothing. Doubles every ten minutes, since
    limits of jobs pass. 1 if Slurm refused an array of two.
    """

    def __init__(self, *, enabled: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = MOST_REQUESTS if enabled else 1
        self._enabled = enabled
        self._since = clock()
        self._reason = ""

    @property
    def most_tasks(self) -> int:
        """1 if there are no arrays."""
        while self._enabled and self._most < MOST_REQUESTS and self._clock() - self._since >= FORGET_SECONDS:
            self._since += FORGET_SECONDS
            self._most = min(MOST_REQUESTS, self._most * 2)
        return self._most

    def failed(self, failed: SbatchFailed) -> None:
        """Note why sbatch failed, for the log."""
        if failed.pods > 1:
            self._reason = failed.words

    def accepted_smaller(self, *, than: int) -> None:
        """Note that Slurm accepted fewer tasks than it had refused as one array; 0 if it had refused none."""
        most = max(1, than // 2)
        if than and most < self.most_tasks:
            self._most, self._since = most, self._clock()
            info(
                "Slurm refused a job array and accepts smaller ones; using these",
                refused=than,
                most=most,
                reason=self._reason,
            )
