"""The text that squeue, sacct and sinfo print: one line per item, fields separated by `|`.

`--json` output costs a hundred times more and changes with every release.
"""

from __future__ import annotations

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
