"""What a pod has used of what was reserved for it, and how long it waited and ran: as JSON, and in sentences."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from remote_slurm.domain.job_usage import JobUsage, Source, usage_of_job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.view import PodView

# A pod that reserved so many times what it used gets a hint
_TOO_MUCH = 5
# Below this, a pod shows nothing: it was starting all the time, or a smaller limit would free nothing
_HINT_SECONDS = 60
_HINT_BYTES = 1 << 30
# The smallest share that is shown as a number, the numbers that have no fraction, and the largest before the next unit
_LEAST_SHARE, _WHOLE, _LARGEST = 0.01, 10, 1000
_LEAST_CPUS = 0.1
_TIMES = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True, slots=True)
class PodUsage:
    """Seconds and bytes; None if it was not measured. `source` and `memory_source` are words of `Source`, or empty.

    `killed_for_memory`: it ran out of memory, and names neither a memory limit nor a request.
    """

    cpu_seconds: float | None = None
    cpus: int | None = None
    wall_seconds: int | None = None
    memory_peak: int | None = None
    memory_limit: int | None = None
    waited_seconds: int | None = None
    gpus: int | None = None
    source: str = ""
    memory_source: str = ""
    killed_for_memory: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there is any number."""
        return bool(list(self._parts()))

    def json(self) -> dict[str, Any] | None:
        """None if nothing is known."""
        if not self.is_known:
            return None
        return {
            "cpuSeconds": self.cpu_seconds,
            "cpusReserved": self.cpus,
            "wallSeconds": self.wall_seconds,
            "memoryPeakBytes": self.memory_peak,
            "memoryLimitBytes": self.memory_limit,
            "waitedSeconds": self.waited_seconds,
            "gpus": self.gpus,
            "source": self.source or None,
            "memorySource": self.memory_source or None,
            "text": self.sentence,
            "hint": self.hint or None,
        }

    @property
    def cpu_share(self) -> float | None:
        """The part of the reserved CPU time that was used."""
        if self.cpu_seconds is None or not self.cpus or not self.wall_seconds:
            return None
        return self.cpu_seconds / (self.cpus * self.wall_seconds)

    @property
    def sentence(self) -> str:
        """`used 12% of 16 CPUs and 3.1 of 64 GiB; waited 4 min, ran 2 h 10 min`."""
        return "; ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        used = [part for part in (self._cpu(), self._memory()) if part]
        if used:
            yield f"used {' and '.join(used)}"
        if self.gpus:
            yield f"{self.gpus} {'GPU' if self.gpus == 1 else 'GPUs'} reserved"
        times = [
            f"{verb} {_time(seconds)}"
            for verb, seconds in (("waited", self.waited_seconds), ("ran", self.wall_seconds))
            if seconds is not None
        ]
        if times:
            yield ", ".join(times)

    def _cpu(self) -> str:
        share = self.cpu_share
        if share is not None and self.cpus:
            return f"{_percent(share)} of {self.cpus} {'CPU' if self.cpus == 1 else 'CPUs'}"
        return f"{_time(self.cpu_seconds)} of CPU time" if self.cpu_seconds is not None else ""

    def _memory(self) -> str:
        if self.memory_peak is None:
            return ""
        if not self.memory_limit:
            return _bytes(self.memory_peak)
        peak, limit = _bytes(self.memory_peak), _bytes(self.memory_limit)
        number, _, unit = peak.partition(" ")
        return f"{number if limit.endswith(f' {unit}') else peak} of {limit}"

    @property
    def hint(self) -> str:
        """What to change in the pod; empty if there is nothing to say."""
        return "; ".join(self._hints())

    def _hints(self) -> Iterator[str]:
        if self.killed_for_memory:
            yield "the pod was killed for memory that it does not name: set resources.limits.memory"
        share, wall = self.cpu_share, self.wall_seconds or 0
        if share is not None and self.cpus and self.cpus > 1 and share * _TOO_MUCH <= 1 and wall >= _HINT_SECONDS:
            yield f"the pod reserved {self.cpus} CPUs and used {_cpus(share * self.cpus)} on average: request fewer"
        peak, limit = self.memory_peak, self.memory_limit or 0
        if peak is not None and limit >= _HINT_BYTES and peak * _TOO_MUCH <= limit and wall >= _HINT_SECONDS:
            yield f"the pod reserved {_bytes(limit)} of memory and used {_bytes(peak)} at most: request less"


def pod_usage(view: PodView) -> PodUsage:
    """What is known of the pod's usage: from the accounting where it has a value, else as the job measured it."""
    job = view.job
    measured = view.reported_usage or usage_of_job(each.usage for each in view.records.values() if each.usage)
    measured = measured or JobUsage()
    accounted = (job.usage if job else None) or JobUsage()
    by_sacct = accounted.cpu_seconds is not None
    memory_by_sacct = accounted.memory_peak is not None
    ran = job.ran if job else None
    source = accounted.source if by_sacct else measured.source
    out_of_memory = job is not None and job.state is JobState.OUT_OF_MEMORY
    return PodUsage(
        cpu_seconds=accounted.cpu_seconds if by_sacct else measured.cpu_seconds,
        cpus=_first(accounted.cpus, measured.cpus),
        wall_seconds=_first(accounted.wall_seconds, ran, measured.wall_seconds),
        memory_peak=accounted.memory_peak if memory_by_sacct else measured.memory_peak,
        memory_limit=_first(accounted.memory_limit, measured.memory_limit),
        waited_seconds=job.waited if job else None,
        gpus=_first(accounted.gpus, measured.gpus),
        source="" if source is Source.NONE else source,
        memory_source=Source.SACCT if memory_by_sacct else Source.CGROUP if measured.memory_peak is not None else "",
        killed_for_memory=out_of_memory and not view.names_memory,
    )


def _first(*values: int | None) -> int | None:
    return next((each for each in values if each is not None), None)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= _LEAST_SHARE or not share else "under 1%"


def _cpus(average: float) -> str:
    return _number(average) if average >= _LEAST_CPUS or not average else f"under {_LEAST_CPUS}"


def _number(value: float) -> str:
    """Two digits at least: `3.1`, `64`."""
    return f"{value:.0f}" if value >= _WHOLE else f"{value:.1f}".removesuffix(".0")


def _bytes(amount: int) -> str:
    """`3.1 GiB`, `64 GiB`, `300 MiB`."""
    value, unit = float(amount), 0
    while value >= _LARGEST and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{_number(value)} {_UNITS[unit]}"


def _time(seconds: float) -> str:
    """`12 s`, `4 min`, `2 h 10 min`, `3 d 4 h`."""
    whole = round(seconds)
    for (size, unit), (part, smaller) in itertools.pairwise(_TIMES):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {smaller}" if rest and unit != "min" else f"{whole // size} {unit}"
    return f"{whole} s"
