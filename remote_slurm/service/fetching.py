"""Logs from nodes that share no file system with the login node: ended jobs wait for them to be fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from remote_slurm.errors import SiteError
from remote_slurm.events import detail, warn
from remote_slurm.remote.site import Place, Site
from remote_slurm.service.entries import Entry

# Each takes a session at the login node, and a step of its job
AT_ONCE = 2


class Fetching:
    """Fetches in the background, so that long logs do not keep the next look at the site waiting."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._failed: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, entries: Iterable[Entry]) -> None:
        """Fetch the logs of those whose jobs wait for it; one that failed is tried again."""
        for entry in entries:
            place = entry.on_node
            if place is None or entry.standing is None or not entry.standing.over or entry.pod in self._tasks:
                continue
            task = asyncio.create_task(self._fetch(entry, place), name=f"fetch {entry.pod}")
            self._tasks[entry.pod] = task
            task.add_done_callback(partial(self._ended, entry.pod))

    def _ended(self, pod: str, task: asyncio.Task[None]) -> None:
        del self._tasks[pod]
        if not task.cancelled():
            task.result()

    async def stop(self) -> None:
        """Begun ones are carried out at the site, or not at all."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _fetch(self, entry: Entry, place: Place) -> None:
        async with self._turns:
            try:
                entry.fetched = await self._site.fetch(entry.pod, place.job_id, place.folder)
            except SiteError as error:
                # the job of a pod that is being deleted ends as soon as it can
                tell = detail if entry.pod in self._failed or entry.deleted else warn
                tell(f"the logs could not be fetched from the node (yet): {error}", pod=entry.name, job=place.job_id)
                self._failed.add(entry.pod)
                return
        self._failed.discard(entry.pod)
        if entry.fetched:
            detail("logs fetched from the node", pod=entry.name, job=place.job_id)
