"""What a job has used, as the runner measures it on the node (job/usage.sh), or as the accounting has it.

A value that was not measured is None: nothing is estimated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Source(StrEnum):
    """What measured the CPU time. NONE: nothing did."""

    SACCT = "sacct"
    CGROUP = "cgroup"  # of the whole job
    TIMES = "times"  # of the processes of one container, by times(2)
    NONE = "none"


@dataclass(frozen=True, slots=True)
class JobUsage:
    """CPU time and wall time in seconds, memory in bytes; `cpus`, `gpus` and `memory_limit` are reserved for the job.

    `wall_seconds` is the time since the job began.
    """

    source: Source = Source.NONE
    cpu_seconds: float | None = None
    wall_seconds: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    memory_peak: int | None = None
    memory_limit: int | None = None


# Fifteen digits are 30,000 years of CPU time, or a petabyte
_NUMBER = "([0-9]{1,15}|-)"
_USAGE = re.compile(rf"{','.join([_NUMBER] * 6)},({Source.CGROUP}|{Source.TIMES}|{Source.NONE})")


def parse_usage(text: str) -> JobUsage | None:
    """Read `CPU_MILLISECONDS,SECONDS,CPUS,GPUS,PEAK,LIMIT,SOURCE`; None if it is cut off, or something else."""
    found = _USAGE.fullmatch(text)
    if found is None:
        return None
    cpu, wall, cpus, gpus, peak, limit = (None if each == "-" else int(each) for each in found.groups()[:6])
    source = Source(found[7]) if cpu is not None else Source.NONE
    return JobUsage(source, None if cpu is None else cpu / 1000, wall, cpus, gpus, peak, limit)


def usage_of_job(ends: Iterable[JobUsage]) -> JobUsage | None:
    """Merge what was measured at the end of each container.

    A cgroup counts the whole job, so that the last measurement is the job's; times(2) counts one container.
    """
    ends = tuple(ends)
    if not ends:
        return None
    whole = [each.cpu_seconds for each in ends if each.source is Source.CGROUP and each.cpu_seconds is not None]
    parts = [each.cpu_seconds for each in ends if each.source is Source.TIMES and each.cpu_seconds is not None]
    source = Source.CGROUP if whole else Source.TIMES if parts else Source.NONE
    return JobUsage(
        source,
        max(whole) if whole else sum(parts) if parts else None,
        _highest(each.wall_seconds for each in ends),
        _highest(each.cpus for each in ends),
        _highest(each.gpus for each in ends),
        _highest(each.memory_peak for each in ends),
        _highest(each.memory_limit for each in ends),
    )


def _highest(values: Iterable[int | None]) -> int | None:
    return max((each for each in values if each is not None), default=None)
