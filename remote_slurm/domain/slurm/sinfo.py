"""sinfo: the command line that lists nodes, and the parser of its output."""

from __future__ import annotations

import re
from dataclasses import dataclass

from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.fields import SEPARATOR, Field

_NODES = (
    Field("%N", "name"),
    Field("%c", "cpus"),
    Field("%m", "memory_mib"),
    Field("%T", "state"),
    Field("%G", "gres"),
)
_GONE = ("down", "drain", "fail", "unknown", "future", "power_down", "powered_down")


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the account may use in all; memory in MiB."""

    nodes: int = 0
    cpus: int = 0
    memory_mib: int = 0
    gpus: int = 0


def nodes_command(sinfo: str) -> str:
    """A line for each node and each partition it is in, of the partitions that this account may use."""
    form = SEPARATOR.join(field.code for field in _NODES)
    return words([sinfo, "--noheader", "--Node", f"--format={form}"])


def parse_nodes(text: str) -> Capacity:
    """Totals over the nodes that can run jobs, each counted once however many partitions it is in."""
    rows = (line.split(SEPARATOR) for line in text.split("\n"))
    nodes = {
        row[0]: dict(zip((field.name for field in _NODES), row, strict=True)) for row in rows if len(row) == len(_NODES)
    }
    usable = [node for node in nodes.values() if not node["state"].lower().startswith(_GONE)]
    return Capacity(
        nodes=len(usable),
        cpus=sum(_number(node["cpus"]) for node in usable),
        memory_mib=sum(_number(node["memory_mib"]) for node in usable),
        gpus=sum(_gpus(node["gres"]) for node in usable),
    )


def _number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match.group()) if match else 0


def _gpus(gres: str) -> int:
    """`gpu:a100:2(S:0-1),gpu:t4:1,shard:8` -> 3."""
    without_sockets = re.sub(r"\([^)]*\)", "", gres)
    counts = (re.fullmatch(r"gpu(?::[^:]+)?:(\d+)", item) for item in without_sockets.split(","))
    return sum(int(count.group(1)) for count in counts if count)
