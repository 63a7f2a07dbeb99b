"""How long pods wait and run, and how they end: counted once for each pod, for the metrics and the page.

What happened before this process started is not counted: an earlier process has.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_summary import PodPhase, PodSummary
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import Poller
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.cooperative import unhurried

# From an idle partition to a pod that waits for three days
BUCKETS = (1, 10, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 259200)
# A site has few partitions; further ones are counted as one
MOST_PARTITIONS = 50
OTHER_PARTITIONS = "other"
# Slurm's times are whole seconds
_ROUNDING = 1


class Outcome(StrEnum):
    """How a pod ended, as far as it matters to those who watch."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DELETED = "deleted"
    NOT_SUBMITTED = "not_submitted"
    OUT_OF_MEMORY = "out_of_memory"
    TIME_LIMIT = "time_limit"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    NODE_FAILURE = "node_failure"
    LOST = "lost"


_OUTCOMES = {
    JobState.OUT_OF_MEMORY: Outcome.OUT_OF_MEMORY,
    JobState.TIMEOUT: Outcome.TIME_LIMIT,
    JobState.DEADLINE: Outcome.TIME_LIMIT,
    JobState.CANCELLED: Outcome.CANCELLED,
    JobState.PREEMPTED: Outcome.PREEMPTED,
    JobState.NODE_FAIL: Outcome.NODE_FAILURE,
    JobState.BOOT_FAIL: Outcome.NODE_FAILURE,
    JobState.LAUNCH_FAILED: Outcome.NODE_FAILURE,
    JobState.RECONFIG_FAIL: Outcome.NODE_FAILURE,
    JobState.UNKNOWN: Outcome.LOST,
}


@dataclass(slots=True)
class Distribution:
    """How many durations are in each bucket of BUCKETS, and above the last; and the sum of all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    @property
    def cumulative(self) -> list[tuple[str, int]]:
        """The buckets of a Prometheus histogram."""
        bounds = (*(f"{each:.1f}" for each in BUCKETS), "+Inf")
        return [(bound, sum(self.counts[: number + 1])) for number, bound in enumerate(bounds)]


class PodTimes:
    """The durations and outcomes of one account's pods; `waited` and `ran` are by partition.

    A superseded sidecar does not count: the newer one does.
    """

    def __init__(self, pod_store: PodStore, poller: Poller, is_superseded: Callable[[], object]) -> None:
        self._pod_store = pod_store
        self._poller = poller
        self._is_superseded = is_superseded
        self._born = time.time()
        pod_store.on_forget = self.forgotten
        self.waited: dict[str, Distribution] = {}
        self.ran: dict[str, Distribution] = {}
        self.ended: Counter[Outcome] = Counter()
        self._recent_waits: list[tuple[str, int]] = []

    async def run(self) -> None:
        """Look for what has started and ended, for ever."""
        while True:
            await self.notice()
            await asyncio.sleep(self._poller.interval)

    async def notice(self) -> None:
        """Count what has started and ended since."""
        if self._is_superseded():
            return
        async for tracked in unhurried(self._pod_store):
            self._notice_start(tracked)
            if tracked.is_over:
                self._notice_end(tracked)

    def forgotten(self, tracked: TrackedPod) -> None:
        """Count a pod that leaves the store before its end was noticed."""
        if self._is_superseded():
            return
        if tracked.is_over:
            self._notice_start(tracked)
            self._notice_end(tracked)
        elif tracked.deleted and not tracked.end_is_counted:
            tracked.end_is_counted = True
            self.ended[Outcome.DELETED] += 1

    def take_recent_waits(self) -> list[tuple[str, int]]:
        """Partitions and seconds; then there are none."""
        taken, self._recent_waits = self._recent_waits, []
        return taken

    def _notice_start(self, tracked: TrackedPod) -> None:
        job = tracked.job
        if job is None or tracked.counted_start == tracked.run or job.waited is None or job.start is None:
            return
        tracked.counted_start = tracked.run
        has_run = job.ran is None or job.ran > 0 or bool(tracked.records)
        if has_run and self._is_new(job.start):
            partition = self._bounded(job.partition)
            self.waited.setdefault(partition, Distribution()).add(job.waited)
            self._recent_waits.append((partition, job.waited))

    def _notice_end(self, tracked: TrackedPod) -> None:
        if tracked.end_is_counted:
            return
        tracked.end_is_counted = True
        job = tracked.job
        ended = [each.finished for each in tracked.records.values() if each.phase is ContainerPhase.TERMINATED]
        if job is not None and job.ran is not None and job.end is not None:
            ended.append(job.end)
        if ended and not self._is_new(max(ended)):
            return
        tracked.ended_here = True
        self.ended[_outcome(tracked)] += 1
        if job is not None and job.ran:
            self.ran.setdefault(self._bounded(job.partition), Distribution()).add(job.ran)

    def _is_new(self, moment: float) -> bool:
        """Whether the moment, by the site's clock, is after the start of this process."""
        return moment + _ROUNDING >= self._born + self._poller.clock_offset

    def _bounded(self, partition: str) -> str:
        known = self.waited.keys() | self.ran.keys()
        return partition if partition in known or len(known) < MOST_PARTITIONS else OTHER_PARTITIONS


def _outcome(tracked: TrackedPod) -> Outcome:
    """How a pod ended that is over."""
    if tracked.failure and not tracked.job_id:
        return Outcome.NOT_SUBMITTED
    if PodSummary(replace(tracked.view(), being_deleted=False)).phase is PodPhase.SUCCEEDED:
        return Outcome.SUCCEEDED
    of_job = _OUTCOMES.get(tracked.job.state, Outcome.FAILED) if tracked.job else Outcome.FAILED
    return Outcome.DELETED if tracked.deleted and of_job is Outcome.CANCELLED else of_job
