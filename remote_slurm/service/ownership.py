"""Who owns DataRootFolder: this sidecar, or a newer one beside which it continues to serve."""

from __future__ import annotations

import time
from collections.abc import Callable

from remote_slurm.errors import SiteError
from remote_slurm.log import debug, warning
from remote_slurm.service.orphans import Orphans
from remote_slurm.service.owner_watch import WATCH_SECONDS, OlderWatch, OwnerWatch
from remote_slurm.service.poller import Poller
from remote_slurm.service.recovery import PodRecovery
from remote_slurm.site.site import Site

SUPERSEDED = "a newer sidecar owns DataRootFolder"


class Ownership:
    """Called after each poll, which reads the owner's heartbeat and the notes of older sidecars."""

    def __init__(
        self,
        site: Site,
        recovery: PodRecovery,
        poller: Poller,
        orphans: Orphans,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site = site
        self._recovery = recovery
        self._poller = poller
        self._orphans = orphans
        self._clock = clock
        self._poll_interval = poller.interval
        self._newer: OwnerWatch | None = None  # while a newer sidecar owns the folder
        self._older = OlderWatch(clock)
        self._surveyed = clock()
        self.asked_for_unknown = False  # Kubernetes asked for a pod that the newer sidecar may have created

    @property
    def superseded(self) -> str:
        """Why this sidecar does not own DataRootFolder; empty if it does. It serves in both cases."""
        return SUPERSEDED if self._newer else ""

    async def after_poll(self) -> None:
        """Note the owner of the folder, and read what an older sidecar has done."""
        others = self._site.other_sidecars
        if others.older_acted:
            self._older.note()
        try:
            if self._newer or others.newer_mark is not None:
                await self._watch_newer("none" if others.newer_mark is None else others.newer_mark)
            elif others.older_acted or self._older.is_late:
                await self._survey()
        except SiteError as error:
            debug("the changes of another sidecar could not be read", reason=error)

    async def _watch_newer(self, heartbeat: str) -> None:
        """Take the folder over again once the newer sidecar has been silent for a minute."""
        if self._newer is None:
            self._newer = OwnerWatch(self._poll_interval, self._clock)
            warning("a newer sidecar owns DataRootFolder and finishes submissions; this one only answers requests")
        self._newer.saw(heartbeat)
        is_asked = self._orphans.silence < WATCH_SECONDS
        self._poller.interval = self._poll_interval if is_asked else max(self._poll_interval, WATCH_SECONDS)
        if not self._newer.is_silent:
            await self._learn_of_newer_pods()
            return
        await self._recovery.recover()
        warning("took DataRootFolder over again, since the newer sidecar is silent", seconds=self._newer.silence)
        self._newer = None
        self._poller.interval = self._poll_interval
        self._orphans.forget()

    async def _learn_of_newer_pods(self) -> None:
        if self.asked_for_unknown and self._clock() - self._surveyed >= WATCH_SECONDS:
            self.asked_for_unknown = False
            await self._survey()

    async def _survey(self) -> None:
        self._surveyed = self._clock()
        late = self._older.is_late
        await self._recovery.survey(finish_deletes=late)
        if late:
            self._older.done()
