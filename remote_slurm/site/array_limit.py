"""How many tasks a job array may have, as far as Slurm has shown it: limits of jobs count each task."""

from __future__ import annotations

import time
from collections.abc import Callable

from remote_slurm.domain.slurm.refusals import Refusal
from remote_slurm.domain.slurm.submit_outcome import SbatchFailed
from remote_slurm.log import info
from remote_slurm.site.batcher import MOST_REQUESTS

FORGET_SECONDS = 3600.0


class ArrayLimit:
    """Halves after each array that sbatch has refused, until each pod is a job of its own; doubles once per hour."""

    def __init__(self, *, enabled: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._most = MOST_REQUESTS if enabled else 1
        self._enabled = enabled
        self._since = clock()

    @property
    def most_tasks(self) -> int:
        """1 if there are no arrays."""
        while self._enabled and self._most < MOST_REQUESTS and self._clock() - self._since >= FORGET_SECONDS:
            self._since += FORGET_SECONDS
            self._most = min(MOST_REQUESTS, self._most * 2)
        return self._most

    def failed(self, failed: SbatchFailed) -> None:
        """Note the failure of a submission, of a pod or of an array."""
        before = self.most_tasks
        if failed.pods == 1 or failed.refusal in (Refusal.UNKNOWN, Refusal.NOT_SENT) or failed.pods // 2 >= before:
            return
        self._most, self._since = max(1, failed.pods // 2), self._clock()
        info(
            "Slurm did not accept a job array; using smaller ones for an hour",
            pods=failed.pods,
            most=self._most,
            reason=failed.words,
        )
