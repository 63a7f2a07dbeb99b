"""Logs why pods wait in Slurm, with one line for each reason; metrics and the page have the numbers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from remote_slurm.domain.slurm.pending_reasons import NO_REASON
from remote_slurm.log import info
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.cooperative import unhurried

EVERY_SECONDS = 60
# A reason is logged again once no pod has waited for it during so long
REPEAT_SECONDS = 3600


class PendingReasonLog:
    """Logs each Slurm reason for which pods of one account wait, once in an hour."""

    def __init__(self, pod_store: PodStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._pod_store = pod_store
        self._clock = clock
        self._last: dict[str, float] = {}  # when a pod last waited, by the reason

    async def run(self) -> None:
        """Look for new reasons each minute, for ever."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.notice()

    async def notice(self) -> None:
        """Log each reason that is new, with one of its pods."""
        counts, examples = Counter[str](), dict[str, TrackedPod]()
        async for tracked in unhurried(self._pod_store):
            label = tracked.summary().waiting_label
            if tracked.job_id and label not in ("", NO_REASON):
                counts[label] += 1
                examples.setdefault(label, tracked)
        now = self._clock()
        for label, count in counts.items():
            if now - self._last.get(label, -REPEAT_SECONDS) >= REPEAT_SECONDS:
                example = examples[label]
                reason = example.summary().reason
                info("pods wait in Slurm", reason=reason, pods=count, pod=example.name, job=example.job_id)
            self._last[label] = now
