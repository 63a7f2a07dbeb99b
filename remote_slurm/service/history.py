"""The last hours of one account, for the page: kept in memory, with one sample for each minute.

A restart begins anew: `since` says when. Of what happens in a minute there are a number and a sum, so that the samples
of several accounts add up.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from remote_slurm.domain.status.pod_summary import PodPhase
from remote_slurm.service.active_submissions import ActiveSubmissions
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.pod_times import OTHER_PARTITIONS, PodTimes
from remote_slurm.site.cooperative import unhurried

EVERY_SECONDS = 60
KEPT_SAMPLES = 360
# Partitions of which the page has a line
SHOWN_PARTITIONS = 8
_SHOWN = (PodPhase.WAITING, PodPhase.RUNNING, PodPhase.FAILED)


@dataclass(slots=True)
class Mean:
    """The mean of durations in seconds."""

    number: int = 0
    total: float = 0.0

    def add(self, seconds: float, number: int = 1) -> None:
        self.number += number
        self.total += seconds

    @property
    def value(self) -> float | None:
        return round(self.total / self.number, 2) if self.number else None


@dataclass(slots=True)
class Sample:
    """The pods in each phase at the end of a minute, and what was submitted and started in it."""

    minute: int
    pods: Counter[PodPhase] = field(default_factory=Counter)
    submissions: Mean = field(default_factory=Mean)
    waits: dict[str, Mean] = field(default_factory=dict)

    def add(self, other: Sample) -> None:
        """Add the sample of another account."""
        self.pods += other.pods
        self.submissions.add(other.submissions.total, other.submissions.number)
        for partition, mean in other.waits.items():
            self.waits.setdefault(partition, Mean()).add(mean.total, mean.number)


class History:
    """Takes samples of the pods of one account."""

    def __init__(
        self,
        pod_store: PodStore,
        times: PodTimes,
        submissions: ActiveSubmissions,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pod_store = pod_store
        self._times = times
        self._submissions = submissions
        self._clock = clock
        self.since = clock()
        self.samples: deque[Sample] = deque(maxlen=KEPT_SAMPLES)

    async def run(self) -> None:
        """Take a sample at the end of each minute, for ever."""
        while True:
            await asyncio.sleep(EVERY_SECONDS - self._clock() % EVERY_SECONDS)
            await self.sample()

    async def sample(self) -> None:
        """Take a sample of what is known now."""
        taken = Sample(int(self._clock() // EVERY_SECONDS))
        async for tracked in unhurried(self._pod_store):
            phase = tracked.summary().phase
            if phase in _SHOWN:
                taken.pods[phase] += 1
        for seconds in self._submissions.take_latencies():
            taken.submissions.add(seconds)
        for partition, seconds in self._times.take_recent_waits():
            taken.waits.setdefault(partition, Mean()).add(seconds)
        self.samples.append(taken)


def history_json(histories: Iterable[History]) -> dict[str, Any]:
    """The samples of all accounts, in columns: a value is null if nothing of the kind happened in that minute."""
    histories = tuple(histories)
    merged: dict[int, Sample] = {}
    for history in histories:
        for sample in history.samples:
            merged.setdefault(sample.minute, Sample(sample.minute)).add(sample)
    samples = [merged[minute] for minute in sorted(merged)][-KEPT_SAMPLES:]
    partitions = _busiest(samples)
    return {
        "since": max(each.since for each in histories),
        "everySeconds": EVERY_SECONDS,
        "keptSeconds": EVERY_SECONDS * KEPT_SAMPLES,
        "times": [each.minute * EVERY_SECONDS for each in samples],
        "pods": {str(phase): [each.pods[phase] for each in samples] for phase in _SHOWN},
        "submitSeconds": [each.submissions.value for each in samples],
        "waitSeconds": {name: [_wait(each, name, partitions) for each in samples] for name in partitions},
    }


def _busiest(samples: Iterable[Sample]) -> list[str]:
    """The partitions in which most jobs started, by name; all others are one."""
    started: Counter[str] = Counter()
    for sample in samples:
        started.update({name: mean.number for name, mean in sample.waits.items()})
    names = sorted(name for name, _ in started.most_common(SHOWN_PARTITIONS) if name != OTHER_PARTITIONS)
    return [*names, OTHER_PARTITIONS] if started.keys() - set(names) else names


def _wait(sample: Sample, name: str, partitions: Iterable[str]) -> float | None:
    if name != OTHER_PARTITIONS:
        return sample.waits[name].value if name in sample.waits else None
    others = Mean()
    for partition, mean in sample.waits.items():
        if partition == OTHER_PARTITIONS or partition not in partitions:
            others.add(mean.total, mean.number)
    return others.value
