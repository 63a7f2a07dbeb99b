"""What `scontrol show partition` and `scontrol show config` print, as far as `check` and `init` use it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_PAIR = re.compile(r"(\w+)=(\S*)")
_SETTING = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*")
# In this order, since Slurm does not allow both
_DEFAULT_MEMORY = (("DefMemPerCPU", "per CPU"), ("DefMemPerNode", "per node"))
_NONE = {"", "0", "UNLIMITED", "(null)", "N/A", "NONE"}
_YES = "yes"


@dataclass(frozen=True, slots=True)
class DefaultMemory:
    """The memory that a job gets if it requests none, in MiB; `unit` is `per CPU` or `per node`."""

    mib: int
    unit: str

    def __str__(self) -> str:
        return f"{self.mib} MiB {self.unit}"


@dataclass(frozen=True, slots=True)
class PartitionSettings:
    """One partition. `default_memory` is None if it has no default of its own; `allowed` has its Allow... lists."""

    name: str
    is_default: bool = False
    is_up: bool = True
    max_time: str = ""
    nodes: int = 0
    cpus: int = 0
    gpus: int = 0
    default_memory: DefaultMemory | None = None
    allowed: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_unrestricted(self) -> bool:
        """Whether all accounts, groups and QOS may use it."""
        return not self.allowed


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """The partitions that scontrol shows to the account, and the settings of the cluster. Both may be empty."""

    partitions: tuple[PartitionSettings, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def default_partition(self) -> PartitionSettings | None:
        return next((each for each in self.partitions if each.is_default), None)

    def partition(self, name: str) -> PartitionSettings | None:
        return next((each for each in self.partitions if each.name == name), None)

    def default_memory(self, partition: PartitionSettings | None) -> DefaultMemory | None:
        """That of the partition, else that of the cluster; None if a job gets all memory of its node."""
        own = partition.default_memory if partition else None
        return own or _default_memory(self.values)

    @property
    def allocates_memory(self) -> bool | None:
        """Whether memory is a resource that jobs request; None if the settings are unknown."""
        parameters = self.values.get("SelectTypeParameters")
        return None if parameters is None else "memory" in parameters.lower()

    @property
    def enforces_memory(self) -> bool:
        """Whether jobs that use more memory than they requested are ended."""
        return (
            self.values.get("ConstrainRAMSpace", "").lower() == _YES
            or "OverMemoryKill" in self.values.get("JobAcctGatherParams", "")
            or "OverMemoryKill" in self.values.get("JobAcctGatherParam", "")
        )

    @property
    def array_size(self) -> int:
        """The maximum number of tasks of a job array; 0 if arrays are disabled or the settings are unknown."""
        return max(0, _number(self.values.get("MaxArraySize", "")) - 1)

    @property
    def has_no_arrays(self) -> bool:
        """Whether the settings are known, and arrays are disabled."""
        return "MaxArraySize" in self.values and not self.array_size


def parse_settings(partitions: Iterable[str], config: Iterable[str]) -> SlurmSettings:
    """Read the lines of `scontrol --oneliner show partition` and of `scontrol show config`."""
    found = [partition for line in partitions if (partition := _partition(dict(_PAIR.findall(line))))]
    pairs = [match for line in config if (match := _SETTING.fullmatch(line))]
    return SlurmSettings(tuple(found), {match[1]: match[2] for match in pairs})


def _partition(fields: dict[str, str]) -> PartitionSettings | None:
    name = fields.get("PartitionName", "")
    if not name.isprintable() or not name:
        return None
    lists = {key: fields.get(key, "ALL") for key in ("AllowAccounts", "AllowGroups", "AllowQos")}
    return PartitionSettings(
        name=name,
        is_default=fields.get("Default", "").lower() == _YES,
        is_up=fields.get("State", "UP") == "UP",
        max_time=fields.get("MaxTime", ""),
        nodes=_number(fields.get("TotalNodes", "")),
        cpus=_number(fields.get("TotalCPUs", "")),
        gpus=_gpus(fields.get("TRES", "")),
        default_memory=_default_memory(fields),
        allowed={key: value for key, value in lists.items() if value.upper() != "ALL"},
    )


def _default_memory(values: Mapping[str, str]) -> DefaultMemory | None:
    for key, unit in _DEFAULT_MEMORY:
        text = values.get(key, "")
        if text.upper() not in _NONE and _number(text):
            return DefaultMemory(_number(text), unit)
    return None


def _gpus(tres: str) -> int:
    """`cpu=64,mem=1000G,node=2,gres/gpu=8` -> 8."""
    return sum(_number(each.partition("=")[2]) for each in tres.split(",") if each.partition("=")[0] == "gres/gpu")


def _number(text: str) -> int:
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0
