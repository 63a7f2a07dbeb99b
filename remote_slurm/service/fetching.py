"""With SHARED_FS: false, the logs of an ended job are on its node: the job waits until they are copied to the site."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.errors import SiteError
from remote_slurm.log import debug, warning
from remote_slurm.service.background_tasks import BackgroundTasks
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.site import Site

# Each copy takes a session at the login node, and a step of its job
AT_ONCE = 2


class Fetching:
    """Copies logs in the background, so that long logs do not delay the next poll."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._failed: set[str] = set()
        self._under_way: set[str] = set()
        self._tasks = BackgroundTasks()

    def begin(self, pods: Iterable[TrackedPod]) -> None:
        """Fetch the logs of the pods whose jobs wait for it. A fetch that failed is begun again."""
        for tracked in pods:
            folder, report = tracked.on_node, tracked.comment_report
            if folder is None or report is None or not report.over or tracked.key in self._under_way:
                continue
            self._under_way.add(tracked.key)
            task = self._tasks.run_once(f"fetch {tracked.key}", self._fetch(tracked, folder))
            task.add_done_callback(partial(self._done, tracked.key))

    def _done(self, pod: str, _: asyncio.Task[None]) -> None:
        self._under_way.discard(pod)

    async def stop(self) -> None:
        """End the fetches. A script that has begun at the site is finished there, or has no effect."""
        await self._tasks.stop()

    async def _fetch(self, tracked: TrackedPod, folder: NodeFolder) -> None:
        async with self._slots:
            try:
                tracked.fetched = await self._site.fetch(tracked.key, folder)
            except SiteError as error:
                # the job of a deleted pod ends at once, so its logs may be gone
                write = debug if tracked.key in self._failed or tracked.deleted else warning
                write(
                    "cannot fetch the logs from the node",
                    pod=tracked.name,
                    job=folder.job_id,
                    reason=error,
                )
                self._failed.add(tracked.key)
                return
        self._failed.discard(tracked.key)
        if tracked.fetched:
            debug("logs fetched from the node", pod=tracked.name, job=folder.job_id)
