"""KeepFinished: how long folders of finished pods stay at the site, unless Kubernetes deletes the pods before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from remote_slurm.log import info, warning
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.journal import Delete, JournalError
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.tracked_pod import TrackedPod

LOOK_SECONDS = 60.0


class Retention:
    """Deletes pods that ended more than `seconds` ago by their records; 0 deletes nothing."""

    def __init__(
        self, pod_store: PodStore, deletes: Deletes, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._pod_store = pod_store
        self._deletes = deletes
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, float] = {}

    async def run(self) -> None:
        """Check for expired pods until cancelled."""
        while True:
            self.check()
            await asyncio.sleep(max(1.0, min(LOOK_SECONDS, self._seconds)))

    def check(self) -> None:
        """Delete the pods that are due."""
        if not self._seconds:
            return
        over = [tracked for tracked in self._pod_store if tracked.final and not tracked.deleted]
        self._seen = {tracked.key: self._seen.get(tracked.key, self._clock()) for tracked in over}
        for tracked in over:
            if self._clock() - self._ended(tracked) > self._seconds:
                self._delete(tracked)

    def _ended(self, tracked: TrackedPod) -> float:
        return max((record.finished for record in tracked.records.values()), default=0) or self._seen[tracked.key]

    def _delete(self, tracked: TrackedPod) -> None:
        tracked.outlives_folder = True
        try:
            self._deletes.accept(Delete(tracked.key, tracked.name, 0))
        except JournalError as error:
            warning("cannot remove the folder of a finished pod", pod=tracked.name, reason=error)
        else:
            info("removing the folder of a finished pod (KeepFinished)", pod=tracked.name)
