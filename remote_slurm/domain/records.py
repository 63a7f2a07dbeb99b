"""The records that runner.sh writes: one line for each container, the last one counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class ContainerPhase(Enum):
    """As runner.sh spells them."""

    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Record:
    """How a container stands; times in seconds since 1970 by the node's clock, 0 is none.

    `run` is how often Slurm had requeued the job before this run of it (SLURM_RESTART_COUNT in sbatch(1)).
    """

    pod: str
    container: str
    phase: ContainerPhase
    started: int
    finished: int
    exit_code: int
    signal: int
    message: str = ""
    run: int = 0


def parse_records(text: str) -> list[Record]:
    """Lines that are no records are left out: a half-written or foreign file must not stop the others."""
    *lines, _cut_off = text.split("\n")
    return [_record(found) for line in lines if (found := _LINE.fullmatch(line))]


# ten digits are a time that every part of this can express, until the year 2286
_LINE = re.compile(
    rf"v1 (\S+) (\S+) ({'|'.join(phase.value for phase in ContainerPhase)})"
    r" ([0-9]{1,10}) ([0-9]{1,10}) ([0-9]{1,3}) ([0-9]{1,3})(?: run=([0-9]{1,6}))?(?: (.*))?"
)


def _record(found: re.Match[str]) -> Record:
    pod, container, phase, *numbers, run, message = found.groups(default="")
    started, finished, exit_code, signal = (int(number) for number in numbers)
    return Record(
        pod, container, ContainerPhase(phase), started, finished, exit_code, signal, message.strip(), int(run or 0)
    )
