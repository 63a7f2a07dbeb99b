"""What of a container's log is asked for, and when its lines were written.

The runner does not touch what a container prints. It notes now and then how long the log has become, so a line is as
old as the first note that covers it: true to about a second.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class LogSlice:
    """What to read, as `kubectl logs` means it.

    Of what `since` (seconds since 1970) leaves, the last `lines`, and at most `limit_bytes` of that; None is no limit.
    With `tail_bytes`, the last `lines` are those of so many bytes at the end: a line may be as long as the log.
    `previous` is the run before a restart. With `follow` it goes on as the log grows. Nothing before `offset` is read.
    `run` is the run of the container whose log it is, as the site names it; empty is the present one.
    """

    pod: str
    container: str
    lines: int | None = None
    limit_bytes: int | None = None
    tail_bytes: int | None = None
    since: float | None = None
    timestamps: bool = False
    previous: bool = False
    follow: bool = False
    offset: int | None = None
    run: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Noted:
    """At `time`, in seconds since 1970, the log had `size` bytes."""

    size: int
    time: int


def parse_notes(lines: Iterable[str]) -> list[Noted]:
    """`<time> <size>` each; what is neither is left out. A log that was cut short begins anew."""
    notes: list[Noted] = []
    for line in lines:
        time, _, size = line.partition(" ")
        if not (time.isdigit() and size.isdigit()):
            continue
        noted = Noted(int(size), int(time))
        if notes and noted.size < notes[-1].size:
            notes.clear()
        notes.append(noted)
    return notes


class Stamper:
    """Puts the time in front of each line of a log that is read from byte `start` on."""

    def __init__(self, start: int, notes: list[Noted]) -> None:
        self._offset = start
        self._notes = notes
        self._at_line_start = True

    def stamp(self, data: bytes, now: float) -> bytes:
        """The next bytes of the log; lines that no note covers are as old as `now`."""
        stamped = bytearray()
        for line in _lines(data):
            if self._at_line_start:
                stamped += self._time(now).encode() + b" "
            stamped += line
            self._offset += len(line)
            self._at_line_start = line.endswith(b"\n")
        return bytes(stamped)

    def _time(self, now: float) -> str:
        at = bisect.bisect_right(self._notes, self._offset, key=lambda noted: noted.size)
        seconds = self._notes[at].time if at < len(self._notes) else now
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _lines(data: bytes) -> Iterable[bytes]:
    """At newlines only: a progress bar's carriage returns do not begin lines."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
