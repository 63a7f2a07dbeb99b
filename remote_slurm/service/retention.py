"""How long folders of finished pods stay at the site: until they are deleted, or for as long as KeepFinished says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from remote_slurm.events import event, warn
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.entries import Entries, Entry
from remote_slurm.service.journal import Delete, JournalError

LOOK_SECONDS = 60.0


class Retention:
    """Deletes what has been over for more than `seconds`; 0 deletes nothing. The records tell when a pod ended."""

    def __init__(
        self, entries: Entries, deletes: Deletes, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._entries = entries
        self._deletes = deletes
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            self.look()
            await asyncio.sleep(max(1.0, min(LOOK_SECONDS, self._seconds)))

    def look(self) -> None:
        """Delete what is due now."""
        if not self._seconds:
            return
        over = [entry for entry in self._entries if entry.settled and not entry.deleted]
        self._seen = {entry.pod: self._seen.get(entry.pod, self._clock()) for entry in over}
        for entry in over:
            if self._clock() - self._ended(entry) > self._seconds:
                self._delete(entry)

    def _ended(self, entry: Entry) -> float:
        return max((record.finished for record in entry.records.values()), default=0) or self._seen[entry.pod]

    def _delete(self, entry: Entry) -> None:
        entry.outlives_folder = True
        try:
            self._deletes.accept(Delete(entry.pod, entry.name, 0))
        except JournalError as error:
            warn(f"the folder of a finished pod stays: {error}", pod=entry.name)
        else:
            event("the folder of a finished pod is removed, as KeepFinished says", pod=entry.name)
