"""All pods of one account. Only this module creates and connects the components of an account."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.pod.model import CreateRequest, Pod
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.log import info
from remote_slurm.service.accounting import UsageQueries
from remote_slurm.service.active_submissions import ActiveSubmissions
from remote_slurm.service.audit import AuditLog
from remote_slurm.service.background_tasks import BackgroundTasks
from remote_slurm.service.capacity import CapacityWatch
from remote_slurm.service.dashboard import Dashboard, DashboardSources
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.descriptions import Descriptions
from remote_slurm.service.event_log import EventLog
from remote_slurm.service.history import History
from remote_slurm.service.journal import Journal
from remote_slurm.service.kubernetes import Kubernetes
from remote_slurm.service.kubernetes_api import Cluster
from remote_slurm.service.libraries import Libraries
from remote_slurm.service.logs import Logs
from remote_slurm.service.orphans import CHECK_SECONDS, EVERYBODY, Asker, Orphans
from remote_slurm.service.ownership import Ownership
from remote_slurm.service.pending_reason_log import PendingReasonLog
from remote_slurm.service.pod_creator import Created, CreatorComponents, PodCreator
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.pod_times import PodTimes
from remote_slurm.service.poller import Poller
from remote_slurm.service.recovery import PodRecovery
from remote_slurm.service.retention import Retention
from remote_slurm.service.statuses import Statuses
from remote_slurm.service.storage import Storage
from remote_slurm.service.submitter import SubmissionTimeouts, Submitter
from remote_slurm.service.system_info import SystemInfo
from remote_slurm.site.site import Site


@dataclass(frozen=True, slots=True)
class Shared:
    """What all accounts of one sidecar share."""

    cluster: Cluster | None = None
    audit: AuditLog = field(default_factory=AuditLog)


class Pods:
    """What interLink asks of one account. The dashboard and the metrics read `pod_store`."""

    def __init__(
        self,
        site: Site,
        config: Config,
        journal: Journal,
        timeouts: SubmissionTimeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
        shared: Shared | None = None,
    ) -> None:
        timeouts, shared = timeouts or SubmissionTimeouts(), shared or Shared()
        self.site = site
        self.user = config.ssh.user  # the account at the site
        self.pod_store = PodStore()
        self._poll_interval = config.poll_interval
        self._tasks = BackgroundTasks()
        self._events = EventLog()
        self._kubernetes = Kubernetes(shared.cluster, self._events)
        self.poller = Poller(site, self.pod_store, config.poll_interval, clock)
        self.deletes = Deletes(site, self.pod_store, journal, clock, shared.audit)
        self.orphans = Orphans(
            self.pod_store, self.deletes, config.orphan_grace_period, clock, self._kubernetes.is_there
        )
        self.times = PodTimes(self.pod_store, self.poller, lambda: self.superseded)
        self._usage = UsageQueries(self.pod_store, self.poller.accounting, clock)
        self.storage = Storage(site, clock)
        self._pending_reason_log = PendingReasonLog(self.pod_store, clock)
        self.capacity = CapacityWatch(site, config, self.poller.reconnected)
        self.dashboard = Dashboard(
            site, DashboardSources(self.pod_store, self.poller, self.orphans, self.storage), config
        )
        self.descriptions = Descriptions(site, self.pod_store, self.poller, self._events, config)
        self.system_info = SystemInfo(site, self.orphans, clock)
        self._logs = Logs(site, self.pod_store, self.poller.reconnected, first_poll=self.poller.first_poll)
        self._retention = Retention(self.pod_store, self.deletes, config.keep_finished)
        submitter = Submitter(site, self.poller.reconnected, timeouts, clock, self.storage)
        submissions = ActiveSubmissions(submitter, self.poller, self._tasks, shared.audit, self.user)
        self.history = History(self.pod_store, self.times, submissions)
        self.recovery = PodRecovery(site, self.pod_store, submissions, self.deletes, self.poller)
        self.ownership = Ownership(site, self.recovery, self.poller, self.orphans, clock)
        self.poller.after_poll = self.ownership.after_poll
        self._statuses = Statuses(self.pod_store, self.recovery, self.deletes, self.orphans, self.ownership)
        self._creator = PodCreator(
            CreatorComponents(
                self.pod_store, self.recovery, submissions, self.deletes, self.poller, self._logs, self._kubernetes
            ),
            config,
            timeouts.create,
        )

    # --- life ---

    def start(self) -> None:
        """Start the background tasks. The site need not be reachable."""
        for name, work in (
            ("poller", self._recover_then_poll),
            ("deletes", self.deletes.run),
            ("orphans", self._cancel_orphans),
            ("capacity", self.capacity.run),
            ("storage", self.storage.run),
            ("pending reason log", self._pending_reason_log.run),
            ("retention", self._retention.run),
            ("libraries", Libraries(self.site).run),
            ("events", self._kubernetes.run),
            ("event queue", self._queue_events),
            ("times", self.times.run),
            ("usage", self._ask_for_usage),
            ("history", self.history.run),
        ):
            self._tasks.keep_running(name, work)

    def end_followers(self) -> None:
        """End the logs that are followed, with an error: clients can ask for the rest again."""
        self._logs.end_followers()

    async def stop(self) -> None:
        """End all background tasks. Jobs continue, and the next start recovers them."""
        await self._tasks.stop()
        await self.dashboard.stop()
        await self.poller.fetching.stop()

    async def _recover_then_poll(self) -> None:
        await self.recovery.run()
        await self.poller.run()

    async def _queue_events(self) -> None:
        while True:
            if not self.superseded:  # the newer sidecar creates the same Events
                await self._kubernetes.notice(self.pod_store)
            await asyncio.sleep(self._poll_interval)

    async def _ask_for_usage(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval)
            if not self.superseded:  # the newer sidecar asks
                await self._usage.ask()

    async def _cancel_orphans(self) -> None:
        while True:
            if not self.superseded:  # Kubernetes may ask the newer sidecar only
                await self.orphans.check()
            await asyncio.sleep(CHECK_SECONDS)

    # --- what interLink asks ---

    async def create(self, request: CreateRequest) -> Created:
        """See PodCreator.create."""
        return await self._creator.create(request)

    def status(self, pods: list[Pod], asker: Asker = EVERYBODY) -> list[dict[str, Any]]:
        """See Statuses.of."""
        return self._statuses.of(pods, asker)

    def delete(self, pod: Pod) -> None:
        """Accept a delete: it is on disk when this returns, and repeated until it is done. Raises JournalError."""
        if tracked := self.pod_store.get(pod.key):
            tracked.outlives_folder = False
        self.deletes.accept_for(pod)
        info("delete accepted", pod=pod.full_name)

    def log(self, what: LogSlice) -> AsyncGenerator[bytes, None]:
        """See Logs.read."""
        return self._logs.read(what)

    def ping(self) -> dict[str, Any]:
        """See CapacityWatch.ping."""
        return self.capacity.ping(takes_pods=self.takes_pods)

    # --- the state of the account ---

    @property
    def recovered(self) -> bool:
        """Whether the pods at the site are known."""
        return self.recovery.is_done

    @property
    def takes_pods(self) -> bool:
        """Whether the site can be polled, and stores pods."""
        return not self.poller.error and not self.storage.error

    @property
    def superseded(self) -> str:
        """See Ownership.superseded."""
        return self.ownership.superseded

    @property
    def unreachable_since(self) -> datetime | None:
        """When the site answered last; None if the last poll succeeded."""
        return datetime.now(UTC) - timedelta(seconds=self.poller.age) if self.poller.error else None

    def knows(self, key: str) -> bool:
        """Whether the pod with this folder is tracked or being deleted here."""
        return self.pod_store.get(key) is not None or key in self.deletes
