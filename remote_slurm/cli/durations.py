"""Durations on command lines, as kubectl reads them, and times as it prints them."""

from __future__ import annotations

import argparse
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZES = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(text: str) -> float:
    """A number of seconds, or a duration such as 90s, 5m or 1h30m, in seconds. Raises ArgumentTypeError."""
    parts = _PART.findall(text)
    if "".join(f"{number}{unit}" for number, unit in parts) == text and parts:
        return float(sum(float(number) * _UNITS[unit] for number, unit in parts))
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    raise argparse.ArgumentTypeError(f"must be a duration, such as 90s, 5m or 1h30m, not {text!r}")


def short(seconds: float) -> str:
    """In its largest unit, as kubectl prints ages."""
    for size, unit in _SIZES:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return "0s"


def since_when(trouble: Json) -> str:
    """`since Mon, 30 Nov 2026 14:03:00 +0000 (8m): WHY`, of what a sidecar reports during an outage."""
    why, since = " ".join(str(trouble["error"]).split()), trouble["since"]
    return f"since {moment(since)} ({short(time.time() - since)}): {why}" if since else why


def moment(seconds: float) -> str:
    """A time by the local clock, as kubectl prints it."""
    return time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime(seconds))
