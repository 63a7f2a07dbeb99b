"""Learning from the folders at the site which pods there are: at the start, and beside another sidecar."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Set as AbstractSet

from remote_slurm.domain.plan.payload import Payload
from remote_slurm.errors import SiteError
from remote_slurm.log import info
from remote_slurm.service.active_submissions import ActiveSubmissions
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.journal import Delete
from remote_slurm.service.orphans import GRACE_SECONDS
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import Poller
from remote_slurm.service.submitter import fail_abandoned, is_retryable
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.operations.recover import Recovery
from remote_slurm.site.site import Site

RETRY_SECONDS = 5.0


class PodRecovery:
    """Fills the pod store from the site. `adopted` counts the jobs that the last recovery found.

    `uid` is the account's user id, None if `id` does not print it.
    """

    def __init__(
        self, site: Site, pod_store: PodStore, submissions: ActiveSubmissions, deletes: Deletes, poller: Poller
    ) -> None:
        self._site = site
        self._pod_store = pod_store
        self._submissions = submissions
        self._deletes = deletes
        self._poller = poller
        self.is_done = False
        self.adopted = 0
        self.uid: int | None = None
        self._error: SiteError | None = None  # of the last attempt
        self._attempted = asyncio.Event()  # set when an attempt has ended, and then replaced

    async def run(self) -> None:
        """Recover once, however often the site has to be asked for it."""
        while not self.is_done:
            self._error = await self._attempt()
            self._attempted.set()
            self._attempted = asyncio.Event()
            if self._error:
                self._poller.unreachable(self._error)
                await asyncio.sleep(RETRY_SECONDS)

    async def wait(self) -> None:
        """Return once the pods are recovered. Raises the SiteError of an attempt that no later one can mend."""
        while not self.is_done:
            await self._attempted.wait()
            if self._error and not is_retryable(self._error):
                raise copy.copy(self._error)

    async def recover(self) -> None:
        """Take DataRootFolder over, and learn all pods in it. Raises SiteError."""
        complete = self._complete()
        known = await self._site.recover()
        self.adopted = 0
        self._forget(complete - known.pods - known.job_ids.keys())
        self._learn(known, complete)
        self._finish_deletes(known)
        self.uid = known.uid
        self._submissions.recovered(len(known.pods))
        self.is_done = True
        info("recovered pods", pods=len(self._pod_store), jobs=self.adopted)

    async def survey(self, *, finish_deletes: bool) -> None:
        """Adopt pods that another sidecar has submitted, and forget pods that it has deleted. Raises SiteError."""
        complete = self._complete() | set(self._deletes)
        known = await self._site.survey()
        self._forget((known.deleted - known.pods) & complete)
        self._learn(known, complete)
        if finish_deletes:
            self._finish_deletes(known)

    async def _attempt(self) -> SiteError | None:
        try:
            await self.recover()
        except SiteError as error:
            return error
        return None

    def _complete(self) -> set[str]:
        """The pods for which a recovery brings nothing new but records."""
        return {tracked.key for tracked in self._pod_store if self._is_complete(tracked)}

    def _is_complete(self, tracked: TrackedPod) -> bool:
        has_job = bool(tracked.job_id) and not tracked.known_to_kubelet_only
        return has_job or bool(tracked.failure) or tracked.key in self._submissions

    def _learn(self, known: Recovery, complete: AbstractSet[str]) -> None:
        for pod in (known.pods | known.job_ids.keys()) - known.deleted - complete:
            tracked = self._pod_store.add(pod)
            tracked.known_to_kubelet_only = False
            if pod in known.given_up:
                fail_abandoned(tracked)
            elif pod in known.cancelled:
                tracked.set_job_id(known.job_ids.get(pod, ""))
                tracked.mark_cancelled()
                tracked.finalize()
            elif pod in known.job_ids:
                tracked.set_job_id(known.job_ids[pod])
                tracked.awaits_squeue = self._site.reports_in_comment
                tracked.submitted = known.attempted.get(pod)
                self.adopted += 1
            elif pod in known.unfinished and pod not in self._submissions and pod not in self._deletes:
                tracked.payload_stored = True
                self._submissions.begin(tracked, Payload())
        self._pod_store.add_records(known.records)

    def _finish_deletes(self, known: Recovery) -> None:
        """Continue the deletes of another sidecar whose journal is lost."""
        for pod in known.half_deleted:
            if pod not in self._deletes:
                self._deletes.accept(Delete(pod, pod, GRACE_SECONDS))

    def _forget(self, pods: AbstractSet[str]) -> None:
        """Forget pods that another sidecar has deleted."""
        for tracked in list(self._pod_store):
            kept = (
                tracked.outlives_folder
                or tracked.known_to_kubelet_only
                or tracked.failure
                or tracked.key in self._submissions
                or tracked.key in self._deletes
            )
            if tracked.key in pods and not kept:
                self._pod_store.forget(tracked.key)
