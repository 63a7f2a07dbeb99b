"""Read which pods the tasks of job arrays are, from the scripts of the arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable

from remote_slurm.domain.plan.job_array import parse_table
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply

_NAME = re.compile("[A-Za-z0-9-]+")


def operation(arrays: Iterable[str]) -> Operation[dict[str, dict[int, str]]]:
    """The pods by array and number of the task. An array without a folder is left out."""
    return Operation("array_tables", _tables, {"arrays": " ".join(filter(_NAME.fullmatch, arrays))})


def _tables(reply: Reply) -> dict[str, dict[int, str]]:
    reply.require("tables")
    scripts: dict[str, list[str]] = {}
    for row in reply.all("task"):
        array, _, line = row.partition(" ")
        scripts.setdefault(array, []).append(line)
    return {array: parse_table("\n".join(lines)) for array, lines in scripts.items()}
