"""Jobs whose pods Kubernetes no longer has: its Virtual Kubelet asks for every live pod every few seconds.

What is not asked for while others are is suspicious: it is listed, and only cancelled where OrphanGracePeriod says so.
Time counts only while Kubernetes asks for any pod at all, so that an outage on its side makes no orphans.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from remote_slurm.events import warn
from remote_slurm.remote.unhurried import unhurried
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.entries import Entries, Entry
from remote_slurm.service.journal import Delete

# interLink's Virtual Kubelet asks every 5 s, one pod after another, which takes a while where there are many
SUSPICIOUS_SECONDS = 120.0
# A longer silence is one of Kubernetes, and not about any pod
LONGEST_GAP_SECONDS = 30.0
LOOK_SECONDS = 10.0
# Of a pod that nobody has described since the start the grace period is not known; its runner knows it
GRACE_SECONDS = 600


class Orphans:
    """How long each pod has not been asked for; `grace_period` in seconds, 0 cancels none."""

    def __init__(
        self,
        entries: Entries,
        deletes: Deletes,
        grace_period: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries = entries
        self._deletes = deletes
        self._grace_period = grace_period
        self._clock = clock
        self._now = 0.0  # advances while Kubernetes asks
        self._last = clock()
        self._asked: dict[str, float] = {}

    def asked(self, pods: Iterable[str]) -> None:
        """Kubernetes has asked for these."""
        moment = self._clock()
        self._now += min(moment - self._last, LONGEST_GAP_SECONDS)
        self._last = moment
        for pod in pods:
            self._asked[pod] = self._now

    def unasked_seconds(self, entry: Entry) -> float:
        """How long others were asked for, and this one was not; 0 where it has no job that could run."""
        if not entry.job_id or entry.is_over or entry.deleted:
            return 0.0
        return self._now - self._asked.setdefault(entry.pod, self._now)

    def found(self) -> dict[str, float]:
        """The pods that are suspicious, and for how long."""
        seconds = {entry.pod: self.unasked_seconds(entry) for entry in self._entries}
        return {pod: unasked for pod, unasked in seconds.items() if unasked >= SUSPICIOUS_SECONDS}

    async def look(self) -> None:
        """Cancel those that are due, and forget what is gone."""
        async for pod in unhurried(list(self._asked)):
            if self._entries.get(pod) is None:
                del self._asked[pod]
        async for entry in unhurried(self._entries):
            seconds = self.unasked_seconds(entry)
            if not self._grace_period or seconds < max(self._grace_period, SUSPICIOUS_SECONDS):
                continue
            warn(
                f"job {entry.job_id} is cancelled: Kubernetes has not asked for its pod for {seconds:.0f} s, "
                "and OrphanGracePeriod is over",
                pod=entry.name,
            )
            self._deletes.accept(Delete(entry.pod, entry.name, GRACE_SECONDS))
