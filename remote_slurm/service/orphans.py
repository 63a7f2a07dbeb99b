"""Orphans: jobs whose pods Kubernetes no longer has. The Virtual Kubelet asks for every live pod every few seconds.

A pod that Kubernetes does not ask for, while it asks for others, is an orphan: it is listed, logged, and cancelled at
the end of OrphanGracePeriod. With credentials for Kubernetes, a pod that still exists keeps its job. Time counts only
while Kubernetes asks for any pod, so that an outage of Kubernetes makes no orphans. For a pod, only the time of clients
counts that may ask for pods of its namespace: if the Virtual Kubelet of one namespace is down, the client of another
namespace makes no orphans.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from remote_slurm.domain.pod.folder_name import namespace_of
from remote_slurm.domain.slurm.job_states import JobPhase
from remote_slurm.log import warning
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.journal import Delete
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.cooperative import unhurried

_ALIVE = (JobPhase.WAITING, JobPhase.RUNNING)

# interLink's Virtual Kubelet asks every 5 s, one pod after another: with many pods a round takes longer
SUSPICIOUS_SECONDS = 120.0
# A longer silence is an outage of Kubernetes
LONGEST_GAP_SECONDS = 30.0
CHECK_SECONDS = 10.0
# For pods that no request has described since the start; the runner knows the pod's own grace period
GRACE_SECONDS = 600


def _allow_any(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Asker:
    """A client that asks for the status of pods, and the namespaces whose pods it may ask for."""

    name: str = ""
    may_ask: Callable[[str], bool] = _allow_any


EVERYBODY = Asker()


@dataclass(slots=True)
class _Clock:
    """`now` advances while one client asks; `last` is when it asked last."""

    asker: Asker
    last: float
    now: float = 0.0


async def _no_credentials(_: TrackedPod) -> bool | None:
    return None


class Orphans:
    """How long each pod has not been asked for; `grace_period` in seconds, 0 cancels none.

    `is_there` asks Kubernetes for a pod, and returns None without credentials for it.
    """

    def __init__(
        self,
        pod_store: PodStore,
        deletes: Deletes,
        grace_period: float,
        clock: Callable[[], float] = time.monotonic,
        is_there: Callable[[TrackedPod], Awaitable[bool | None]] = _no_credentials,
    ) -> None:
        self._pod_store = pod_store
        self._deletes = deletes
        self._grace_period = grace_period
        self._is_there = is_there
        self._logged: set[str] = set()
        self.cancelled = 0  # jobs
        self._clock = clock
        self._born = clock()
        self._clocks: dict[str, _Clock] = {}  # by the names of the clients
        self._asked: dict[str, Mapping[str, float]] = {}  # by pod: the clocks when it was last asked for

    def requested(self, pods: Iterable[str], asker: Asker = EVERYBODY) -> None:
        """Note that Kubernetes has asked for these pods."""
        moment = self._clock()
        clock = self._clocks.setdefault(asker.name, _Clock(asker, self._born))
        clock.now += min(moment - clock.last, LONGEST_GAP_SECONDS)
        clock.last, clock.asker = moment, asker
        shown = self._shown()
        for pod in pods:
            self._asked[pod] = shown

    def _shown(self) -> Mapping[str, float]:
        return {name: clock.now for name, clock in self._clocks.items()}

    @property
    def silence(self) -> float:
        """Seconds since Kubernetes last asked for any pod, or since the start."""
        return self._clock() - max((each.last for each in self._clocks.values()), default=self._born)

    def forget(self) -> None:
        """Start the times anew: Kubernetes asked another sidecar meanwhile."""
        self._asked.clear()

    def unasked_seconds(self, tracked: TrackedPod) -> float:
        """How long Kubernetes asked for other pods and not for this one; 0 if it has no pending or running job."""
        if tracked.job is None or tracked.job.state.phase not in _ALIVE or tracked.is_over or tracked.deleted:
            return 0.0
        if tracked.key not in self._asked:
            self._asked[tracked.key] = self._shown()
        asked, namespace = self._asked[tracked.key], namespace_of(tracked.key)
        clocks = (each for each in self._clocks.values() if each.asker.may_ask(namespace))
        return max((each.now - asked.get(each.asker.name, 0.0) for each in clocks), default=0.0)

    def found(self) -> dict[str, float]:
        """The orphans, and for how many seconds Kubernetes has not asked for them."""
        seconds = {tracked.key: self.unasked_seconds(tracked) for tracked in self._pod_store}
        return {pod: unasked for pod, unasked in seconds.items() if unasked >= SUSPICIOUS_SECONDS}

    @property
    def _limit(self) -> float:
        return max(self._grace_period, SUSPICIOUS_SECONDS)

    def due(self) -> int:
        """The number of jobs that will be cancelled unless Kubernetes asks for their pods."""
        return len(self.found()) if self._grace_period else 0

    def _announce(self, tracked: TrackedPod, seconds: float) -> None:
        """Log once that a job will be cancelled."""
        if tracked.key in self._logged or not self._grace_period:
            return
        self._logged.add(tracked.key)
        left = max(0, int(self._limit - seconds))
        warning(
            "Kubernetes does not ask for a pod: its job will be cancelled at the end of OrphanGracePeriod",
            pod=tracked.name,
            job=tracked.job_id,
            unasked_seconds=int(seconds),
            seconds_left=left,
        )

    async def check(self) -> None:
        """Cancel the orphans whose grace period is over."""
        async for pod in unhurried(list(self._asked)):
            if self._pod_store.get(pod) is None:
                del self._asked[pod]
        async for tracked in unhurried(self._pod_store):
            seconds = self.unasked_seconds(tracked)
            if seconds < SUSPICIOUS_SECONDS:
                self._logged.discard(tracked.key)
                continue
            self._announce(tracked, seconds)
            if not self._grace_period or seconds < self._limit or await self._is_there(tracked):
                continue
            self.cancelled += 1
            warning(
                "cancelling an orphan: OrphanGracePeriod is over",
                pod=tracked.name,
                job=tracked.job_id,
                unasked_seconds=int(seconds),
            )
            self._deletes.accept(Delete(tracked.key, tracked.name, GRACE_SECONDS))
