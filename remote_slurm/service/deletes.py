"""Deletes: stored on disk first, then repeated until nothing of the pod is left at the site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

from remote_slurm.domain.pod.model import Pod
from remote_slurm.errors import SiteError
from remote_slurm.log import debug, info, warning
from remote_slurm.service.audit import AuditLog, pod_fields
from remote_slurm.service.journal import Delete, Journal
from remote_slurm.service.pod_store import PodStore
from remote_slurm.site.site import Site

# The runner observes the grace period; Slurm ends a job only if it outlasts the period by this much
OVERTIME_SECONDS = 15
# So many deletes share one script, with its squeue, scancel and rm
BATCH = 250
# Deletes of a burst arrive one after another: while more of them arrive, a script waits for them, at most so often
GATHER_SECONDS = 0.05
GATHER_TIMES = 20
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
# How often to look for deletes that another sidecar on the same StateFolder has accepted and not finished
LOOK_SECONDS = 60.0
ANNOUNCE_SECONDS = 10.0


class Deletes:
    """The deletes that are not done yet, also those of earlier processes."""

    def __init__(
        self,
        site: Site,
        pod_store: PodStore,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
        audit: AuditLog | None = None,
    ) -> None:
        self._audit = audit or AuditLog()
        self._site = site
        self._pod_store = pod_store
        self._journal = journal
        self._clock = clock
        self._wake = asyncio.Event()
        self._open = {delete.pod: delete for delete in journal}
        self._looked = clock()
        self._since: dict[str, float] = {}
        self._stuck: set[str] = set()  # pods whose folders could not be removed by the last attempt
        self._logged: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._open))

    def __contains__(self, pod: str) -> bool:
        return pod in self._open

    def __len__(self) -> int:
        return len(self._open)

    def accept_for(self, pod: Pod) -> None:
        """Accept the delete of a pod that Kubernetes has described."""
        is_override = pod.metadata.deletion_grace_period_seconds is not None
        self.accept(Delete(pod.key, pod.full_name, pod.grace_period_seconds, is_override))

    def accept(self, delete: Delete) -> None:
        """Store the delete on disk, and begin to carry it out. Raises JournalError."""
        self._journal.add(delete)
        self._begin(delete)
        self._wake.set()

    def _begin(self, delete: Delete) -> None:
        self._open[delete.pod] = delete
        tracked = self._pod_store.get(delete.pod)
        if tracked is not None:
            tracked.deleted = True

    def _take_over(self) -> None:
        """Begin the deletes in the journal that another sidecar has accepted, if it is time to look."""
        if self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        for delete in self._journal:
            if delete.pod not in self._open:
                self._begin(delete)

    async def run(self) -> None:
        """Carry deletes out for ever: at once when one is accepted, then at growing intervals while jobs are ending."""
        wait = FIRST_WAIT_SECONDS
        while True:
            self._take_over()
            if not self._open:
                await self._woken(LOOK_SECONDS)
                wait = FIRST_WAIT_SECONDS
            await self._gather()
            self._wake.clear()
            await self.carry_out()
            if self._open and not await self._woken(wait):
                wait = min(wait * 1.5, LONGEST_WAIT_SECONDS)

    async def _gather(self) -> None:
        for _ in range(GATHER_TIMES):
            accepted = len(self._open)
            await asyncio.sleep(GATHER_SECONDS)
            if len(self._open) == accepted:
                return

    async def announce(self) -> None:
        """Before the end, write tombstones of the deletes that the site does not know yet, if it answers in time.

        Without a persistent StateFolder, the journal ends with this process.
        """
        unknown = [pod for pod in self._open if pod not in self._since]
        try:
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                for first in range(0, len(unknown), BATCH):
                    await self._delete_batch(unknown[first : first + BATCH])
        except TimeoutError:
            warning(
                "the site did not answer before shutdown; pending deletes stay in StateFolder for the next start",
                pods=len(unknown),
            )

    async def carry_out(self) -> None:
        """One round over all deletes; pods whose folders could not be removed come last."""
        pods = sorted(self._open, key=self._stuck.__contains__)
        for first in range(0, len(pods), BATCH):
            await self._delete_batch(pods[first : first + BATCH])

    async def _delete_batch(self, pods: list[str]) -> None:
        try:
            forced = {pod: self._is_overdue(pod) for pod in pods}
            cancelled = await self._site.delete(forced, self._overriding(pods))
        except SiteError as error:
            warning("deletes failed, trying again", pods=len(pods), reason=error)
            return
        for pod in pods:
            self._stuck.discard(pod)
            if pod in cancelled.gone:
                self._done(pod)
            else:
                self._since.setdefault(pod, self._clock())
                self._log(pod, cancelled.stuck.get(pod, ""))

    def _log(self, pod: str, obstacle: str) -> None:
        """Log an obstacle once the pod is overdue: at first a process on a node may still have a file open."""
        name = self._open[pod].name
        if not obstacle:
            debug("the job is ending", pod=name)
            return
        self._stuck.add(pod)
        if self._is_overdue(pod) and pod not in self._logged:
            self._logged.add(pod)
            warning("cannot remove the folder of a deleted pod, trying again", pod=name, reason=obstacle)

    def _overriding(self, pods: Iterable[str]) -> dict[str, int]:
        return {pod: self._open[pod].grace_seconds for pod in pods if self._open[pod].overrides}

    def _is_overdue(self, pod: str) -> bool:
        since = self._since.get(pod)
        return since is not None and self._clock() - since > self._open[pod].grace_seconds + OVERTIME_SECONDS

    def _done(self, pod: str) -> None:
        delete = self._open.pop(pod)
        self._since.pop(pod, None)
        self._logged.discard(pod)
        self._journal.done(pod)
        tracked = self._pod_store.get(pod)
        if tracked is None or not tracked.outlives_folder:
            self._pod_store.forget(pod)
        info("pod deleted", pod=delete.name)
        self._audit.write("remove", "accepted", pod=pod_fields(pod, delete.name))

    async def _woken(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True
