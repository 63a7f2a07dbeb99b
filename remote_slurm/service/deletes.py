"""Deletes are promises: written down first, then carried out until nothing of the pod is left at the site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from remote_slurm.errors import SiteError
from remote_slurm.events import detail, event, warn
from remote_slurm.remote.site import Site
from remote_slurm.service.entries import Entries
from remote_slurm.service.journal import Delete, Journal

# The runner keeps the grace period itself; only a job that outlasts it by this much is ended by Slurm
OVERTIME_SECONDS = 15
# One squeue serves so many deletes
BATCH = 200
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
# What another sidecar on the same StateFolder was told, and had no time for before its end, is looked for so often
LOOK_SECONDS = 60.0


class Deletes:
    """The deletes that are not done yet, over all restarts."""

    def __init__(
        self, site: Site, entries: Entries, journal: Journal, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._site = site
        self._entries = entries
        self._journal = journal
        self._clock = clock
        self._wake = asyncio.Event()
        self._open = {delete.pod: delete for delete in journal}
        self._looked = clock()
        self._since: dict[str, float] = {}
        self._stuck: set[str] = set()  # whose folders could not be removed, when they were last tried
        self._told: set[str] = set()

    def __contains__(self, pod: str) -> bool:
        return pod in self._open

    def __len__(self) -> int:
        return len(self._open)

    def accept(self, delete: Delete) -> None:
        """On disk before this returns. Raises JournalError."""
        self._journal.add(delete)
        self._begin(delete)
        self._wake.set()

    def _begin(self, delete: Delete) -> None:
        self._open[delete.pod] = delete
        entry = self._entries.get(delete.pod)
        if entry is not None:
            entry.deleted = True

    def _take_over(self) -> None:
        """What lies in the journal and is not open here, if it is time to look."""
        if self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        for delete in self._journal:
            if delete.pod not in self._open:
                self._begin(delete)

    async def run(self) -> None:
        """For ever: at once when a delete comes, then again at growing intervals while jobs are ending."""
        wait = FIRST_WAIT_SECONDS
        while True:
            self._take_over()
            if not self._open:
                await self._woken(LOOK_SECONDS)
                wait = FIRST_WAIT_SECONDS
            self._wake.clear()
            await self.carry_out()
            if self._open and not await self._woken(wait):
                wait = min(wait * 1.5, LONGEST_WAIT_SECONDS)

    async def carry_out(self) -> None:
        """One round over all of them, last over those whose folders take long."""
        pods = sorted(self._open, key=self._stuck.__contains__)
        for first in range(0, len(pods), BATCH):
            await self._round(pods[first : first + BATCH])

    async def _round(self, pods: list[str]) -> None:
        try:
            forced = {pod: self._is_overdue(pod) for pod in pods}
            cancelled = await self._site.cancel(forced, self._overriding(pods))
        except SiteError as error:
            warn(f"deletes wait, since the site does not answer: {error}", pods=len(pods))
            return
        for pod in pods:
            self._stuck.discard(pod)
            if pod in cancelled.gone:
                self._done(pod)
            else:
                self._since.setdefault(pod, self._clock())
                self._tell(pod, cancelled.stuck.get(pod, ""))

    def _tell(self, pod: str, obstacle: str) -> None:
        """What is in the way at first may pass, as a file that a process on a node has open still."""
        name = self._open[pod].name
        if not obstacle:
            detail("the pod's job is ending", pod=name)
            return
        self._stuck.add(pod)
        if self._is_overdue(pod) and pod not in self._told:
            self._told.add(pod)
            warn(f"the folder of a deleted pod cannot be removed, and is tried again: {obstacle}", pod=name)

    def _overriding(self, pods: Iterable[str]) -> dict[str, int]:
        return {pod: self._open[pod].grace_seconds for pod in pods if self._open[pod].overrides}

    def _is_overdue(self, pod: str) -> bool:
        told = self._since.get(pod)
        return told is not None and self._clock() - told > self._open[pod].grace_seconds + OVERTIME_SECONDS

    def _done(self, pod: str) -> None:
        delete = self._open.pop(pod)
        self._since.pop(pod, None)
        self._told.discard(pod)
        self._journal.done(pod)
        entry = self._entries.get(pod)
        if entry is None or not entry.outlives_folder:
            self._entries.forget(pod)
        event("deleted", pod=delete.name)

    async def _woken(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True
