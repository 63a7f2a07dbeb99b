"""The records that runner.sh writes: one line for each container, the last one counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ContainerPhase(Enum):
    """As runner.sh spells them."""

    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Record:
    """How a container stands; times in seconds since 1970 by the node's clock, 0 is none."""

    pod: str
    container: str
    phase: ContainerPhase
    started: int
    finished: int
    exit_code: int
    signal: int
    message: str = ""


def parse_records(text: str) -> list[Record]:
    """Lines that are no records are left out: a half-written or foreign file must not stop the others."""
    return [record for line in text.split("\n") if (record := _parse(line)) is not None]


_FIELDS = 8


def _parse(line: str) -> Record | None:
    parts = line.split(" ", _FIELDS)
    if len(parts) < _FIELDS or parts[0] != "v1":
        return None
    try:
        started, finished, exit_code, signal = (int(part) for part in parts[4:8])
        phase = ContainerPhase(parts[3])
    except ValueError:
        return None
    message = parts[_FIELDS].strip() if len(parts) > _FIELDS else ""
    return Record(parts[1], parts[2], phase, started, finished, exit_code, signal, message)
