"""The partitions of a site, as sinfo(1) summarises them: the command beside the parser, from one field table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.fields import SEPARATOR

# `%C` is allocated/idle/other/total CPUs; the field of generic resources is last, since it may hold anything
_FIELDS = ("%P", "%a", "%C", "%D", "%l", "%G")
_CPUS = re.compile(r"(\d+)/(\d+)/(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Partition:
    """One that the account may use; `free` CPUs are idle on nodes that can run jobs, `time_limit` is Slurm's word."""

    name: str
    is_default: bool
    is_up: bool
    cpus: int
    free: int
    nodes: int
    time_limit: str
    gres: str


def partitions_command(sinfo: str) -> str:
    """A line for each partition, and more than one where its nodes differ."""
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
    name = row[0].strip()
    return Partition(
        name=name.removesuffix("*"),
        is_default=name.endswith("*"),
        is_up=row[1].strip() == "up",
        cpus=int(cpus[4]),
        free=int(cpus[2]),
        nodes=int(row[3]) if row[3].strip().isdigit() else 0,
        time_limit=row[4].strip(),
        gres="" if row[5].strip() in {"(null)", "N/A"} else row[5].strip(),
    )


def _sum(one: Partition, other: Partition) -> Partition:
    gres = dict.fromkeys(each for each in (one.gres, other.gres) if each)
    return Partition(
        name=one.name,
        is_default=one.is_default,
        is_up=one.is_up,
        cpus=one.cpus + other.cpus,
        free=one.free + other.free,
        nodes=one.nodes + other.nodes,
        time_limit=one.time_limit,
        gres=", ".join(gres),
    )
