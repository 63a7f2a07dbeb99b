"""The Events of each pod, with their times: for the Kubernetes API, and for `describe`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from remote_slurm.domain.status.pod_events import PodEvent, pod_events
from remote_slurm.domain.status.pod_summary import PodSummary
from remote_slurm.service.tracked_pod import TrackedPod

# A job whose pending reason changes all the time keeps the newest
MOST_EVENTS = 50


@dataclass(slots=True)
class _OfPod:
    keys: set[str] = field(default_factory=set)
    events: deque[tuple[float, PodEvent]] = field(default_factory=lambda: deque(maxlen=MOST_EVENTS))


class EventLog:
    """In memory: a sidecar that starts notices the Events of its pods again. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._pods: dict[str, _OfPod] = {}

    def notice(self, tracked: TrackedPod) -> list[PodEvent]:
        """Keep the pod's new Events, and return them."""
        new = self._new(tracked, tracked.summary())
        known = self._pods.setdefault(tracked.key, _OfPod())
        for event in new:
            known.keys.add(event.key)
            known.events.append((self._moment(event, tracked), event))
        return new

    def keep_only(self, pods: Iterable[str]) -> None:
        """Forget the other pods."""
        there = set(pods)
        self._pods = {pod: known for pod, known in self._pods.items() if pod in there}

    def of(self, tracked: TrackedPod, summary: PodSummary) -> list[tuple[float, PodEvent]]:
        """The pod's Events and their times, the oldest first. Those of this moment, of `summary`, are not kept."""
        known = self._pods.get(tracked.key, _OfPod())
        return [*known.events, *((self._moment(event, tracked), event) for event in self._new(tracked, summary))]

    def _moment(self, event: PodEvent, tracked: TrackedPod) -> float:
        """When it happened, if Slurm or the records have the time of it, else now."""
        job, now = tracked.job, self._clock()
        times = {
            "submitted": (job and job.submitted) or tracked.submitted,
            "started": job and job.start,
            "ended": (job and job.end) or max((each.finished for each in tracked.records.values()), default=0),
        }
        return min(now, times.get(event.key.partition(" ")[0]) or now)

    def _new(self, tracked: TrackedPod, summary: PodSummary) -> list[PodEvent]:
        known = self._pods.get(tracked.key, _OfPod())
        return [event for event in pod_events(summary) if event.key not in known.keys]
