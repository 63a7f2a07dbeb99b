"""The text that squeue, sacct and sinfo print: one line per item, fields separated by `|`.

`--json` output costs a hundred times more and changes with every release.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SEPARATOR = "|"
# The name of our script, then the comment
_SCRIPT_END = f"/job.sh{SEPARATOR}"


class Field(NamedTuple):
    code: str
    name: str


def split_comment(rest: str) -> tuple[str, str]:
    """A command, and the comment behind it; a path of ours may hold the separator."""
    command, script, comment = rest.partition(_SCRIPT_END)
    if script:
        return command + script.removesuffix(SEPARATOR), comment
    if command.rstrip().endswith(_SCRIPT_END.removesuffix(SEPARATOR)):
        return command, ""
    command, _, comment = rest.partition(SEPARATOR)
    return command, comment


def seconds(text: str) -> int | None:
    """SLURM_TIME_FORMAT=%s gives seconds; `N/A` is an unknown time."""
    return int(text) if text.isdigit() else None


def duration(text: str) -> int | None:
    """`1-02:03:04`, `3:04` or `03:04.567` -> whole seconds; None if it is no duration, such as UNLIMITED."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes, whole = (int(each or 0) for each in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + whole


_DURATION = re.compile(r"(?:(?:([0-9]{1,6})-)?([0-9]{1,6}):)?([0-9]{1,6}):([0-9]{1,2})(?:\.[0-9]+)?")
