"""The partitions of a site, as sinfo(1) summarises them: the command beside the parser, from one field table."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.fields import SEPARATOR
from remote_slurm.domain.slurm.node_states import obstacle

# `%C` is allocated/idle/other/total CPUs; the field of generic resources is last, since it may hold anything
_FIELDS = ("%P", "%a", "%C", "%D", "%T", "%l", "%G")
_CPUS = re.compile(r"(\d+)/(\d+)/(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Partition:
    """One that the account may use; `time_limit` is Slurm's word.

    `cpus`, `free` CPUs and `nodes` are those on which Slurm starts jobs. `unusable` has the numbers of other nodes, by
    what keeps jobs from them.
    """

    name: str
    is_default: bool
    is_up: bool
    cpus: int
    free: int
    nodes: int
    time_limit: str
    gres: str
    unusable: tuple[tuple[str, int], ...] = ()


def partitions_command(sinfo: str) -> str:
    """A line for each partition and state of its nodes, and more than one if the nodes differ otherwise."""
    return words([sinfo, "--noheader", f"--format={SEPARATOR.join(_FIELDS)}"])


def parse_partitions(text: str) -> list[Partition]:
    """In sinfo's order; lines of one partition are added up."""
    found: dict[str, Partition] = {}
    for line in text.split("\n"):
        row = line.split(SEPARATOR, len(_FIELDS) - 1)
        cpus = _CPUS.fullmatch(row[2].strip()) if len(row) == len(_FIELDS) else None
        if cpus is not None:
            one = _partition(row, cpus)
            found[one.name] = _sum(found[one.name], one) if one.name in found else one
    return list(found.values())


def _partition(row: list[str], cpus: re.Match[str]) -> Partition:
    name, state, time_limit, gres = (row[at].strip() for at in (0, 4, 5, 6))
    nodes = int(row[3]) if row[3].strip().isdigit() else 0
    why = obstacle(state)
    return Partition(
        name=name.removesuffix("*"),
        is_default=name.endswith("*"),
        is_up=row[1].strip() == "up",
        cpus=0 if why else int(cpus[4]),
        free=0 if why else int(cpus[2]),
        nodes=0 if why else nodes,
        time_limit=time_limit,
        gres="" if gres in {"(null)", "N/A"} else gres,
        unusable=((why, nodes),) if why else (),
    )


def _sum(one: Partition, other: Partition) -> Partition:
    gres = dict.fromkeys(each for each in (one.gres, other.gres) if each)
    unusable = Counter(dict(one.unusable))
    unusable.update(dict(other.unusable))
    return Partition(
        name=one.name,
        is_default=one.is_default,
        is_up=one.is_up,
        cpus=one.cpus + other.cpus,
        free=one.free + other.free,
        nodes=one.nodes + other.nodes,
        time_limit=one.time_limit,
        gres=", ".join(gres),
        unusable=tuple(unusable.items()),
    )
