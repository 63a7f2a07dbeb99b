"""Read the nodes and partitions that the account may use, by one sinfo."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from remote_slurm.config import Config
from remote_slurm.domain.slurm.partitions import Partition, parse_partitions, partitions_command
from remote_slurm.domain.slurm.sinfo import Capacity, nodes_command, parse_nodes
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply

_T = TypeVar("_T")


def capacity(config: Config) -> Operation[Capacity]:
    """The sum over all nodes."""
    return _sinfo(nodes_command(config.sinfo_path), parse_nodes)


def partitions(config: Config) -> Operation[list[Partition]]:
    """The partitions with their free CPUs."""
    return _sinfo(partitions_command(config.sinfo_path), parse_partitions)


def _sinfo(command: str, parse: Callable[[str], _T]) -> Operation[_T]:
    def read(reply: Reply) -> _T:
        reply.require_success("nodes", "sinfo")
        return parse(reply.messages)

    return Operation("nodes", read, {"sinfo": command}, seconds=75)
