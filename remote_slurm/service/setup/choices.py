"""What `init` chooses for a site that it has looked at, as values; the person may have wished otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.runtimes.registry import RUNTIMES
from remote_slurm.domain.slurm.partitions import Partition
from remote_slurm.domain.slurm.scontrol import PartitionSettings, SlurmSettings
from remote_slurm.site.operations.survey import SiteFolder, Survey

NO_RUNTIME = "none"
FLAVOR, GPU_FLAVOR = "default", "gpu"
# For pods that request no memory, at a site where such a job would get all memory of its node
DEFAULT_MEMORY = "2Gi"
_FOLDER = "interlink"
_MOST_ACCOUNTS = 8
_MOST_PARTITIONS = 12
_MOST_CANDIDATES = 40
_LEAST_FREE_KIB = 1 << 20
# File systems that compute nodes may share with the login node; others are local to it
_SHARED = (
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "fuse",
    "gpfs",
    "lustre",
    "nfs",
    "orangefs",
    "panfs",
    "pvfs2",
    "smb",
    "weka",
)
_SLURM_KEYS = {
    name: f"{name.capitalize()}Path" for name in ("sbatch", "scancel", "squeue", "sinfo", "scontrol", "srun")
}

Flags = tuple[str, ...]
"""sbatch options such as `--partition=gpu`."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person has given; empty: choose."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    runtime: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What was found at the site. `forwards`: whether the login node forwards connections; None if that is unknown."""

    survey: Survey
    version: str = ""
    settings: SlurmSettings = field(default_factory=SlurmSettings)
    free_cpus: dict[str, int] = field(default_factory=dict)
    has_accounting: bool = False
    forwards: bool | None = None
    runtime_version: str = ""

    @property
    def partitions(self) -> tuple[PartitionSettings, ...]:
        return self.settings.partitions


@dataclass(frozen=True, slots=True)
class Choices:
    """The outcome. `memory_option`: whether Slurm accepts --mem."""

    runtime: str = NO_RUNTIME
    runtime_path: str = ""
    module: str = ""
    folder: str = ""
    flags: Flags = ()
    gpu_flags: Flags = ()
    default_memory: str = ""
    memory_option: bool = True


def with_sinfo(settings: SlurmSettings, partitions: Sequence[Partition]) -> SlurmSettings:
    """The settings with the partitions of sinfo, if scontrol shows none."""
    if settings.partitions:
        return settings
    found = tuple(
        PartitionSettings(
            name=each.name,
            is_default=each.is_default,
            is_up=each.is_up,
            max_time=each.time_limit,
            nodes=each.nodes,
            cpus=each.cpus,
            gpus=1 if "gpu" in each.gres else 0,
        )
        for each in partitions
    )
    return replace(settings, partitions=found)


def ranked(partitions: Sequence[PartitionSettings]) -> list[PartitionSettings]:
    """The partitions in which pods could run, the most suitable first."""
    usable = [each for each in partitions if each.is_up]
    return sorted(usable, key=lambda each: (not each.is_default, each.gpus > 0, not each.is_unrestricted, -each.cpus))


def ranked_accounts(survey: Survey) -> list[str]:
    return sorted(survey.accounts, key=lambda name: name != survey.default_account)


def candidates(facts: SiteFacts, wishes: Wishes) -> list[Flags]:
    """sbatch options to try, in order: the fewest first, since pods can then select more themselves."""
    accounts = [wishes.account] if wishes.account else ["", *ranked_accounts(facts.survey)[:_MOST_ACCOUNTS]]
    others = [each.name for each in ranked(facts.partitions)[:_MOST_PARTITIONS]]
    partitions = [wishes.partition] if wishes.partition else ["", *others]
    pairs = [(partition, account) for partition in partitions for account in accounts]
    pairs.sort(key=lambda pair: bool(pair[0]) + bool(pair[1]))
    return [_flags(partition, account, wishes.qos) for partition, account in pairs[:_MOST_CANDIDATES]]


def _flags(partition: str, account: str, qos: str) -> Flags:
    given = {"partition": partition, "account": account, "qos": qos}
    return tuple(f"--{name}={value}" for name, value in given.items() if value)


def value_of(flags: Flags, name: str) -> str:
    """The value of an option of `flags`; empty if they lack it."""
    return next((flag.partition("=")[2] for flag in flags if flag.startswith(f"--{name}=")), "")


def partition_of(facts: SiteFacts, flags: Flags) -> PartitionSettings | None:
    """The partition in which a pod with these flags runs, as far as it is known."""
    name = value_of(flags, "partition")
    return facts.settings.partition(name) if name else facts.settings.default_partition


def gpu_candidates(facts: SiteFacts, flags: Flags) -> list[Flags]:
    """Options for pods with GPUs; none if their usual partition has GPUs, or if no partition is known to have some."""
    own = partition_of(facts, flags)
    if own is not None and own.gpus:
        return []
    others = [each for each in ranked(facts.partitions) if each.gpus][:_MOST_PARTITIONS]
    rest = tuple(flag for flag in flags if not flag.startswith("--partition="))
    return [(f"--partition={each.name}", *rest, "--gres=gpu:1") for each in others]


def default_memory(facts: SiteFacts, flags: Flags) -> str:
    """DefaultMemory; empty if the site's own default is right, or memory is not allocated."""
    if not facts.settings.allocates_memory or facts.settings.default_memory(partition_of(facts, flags)):
        return ""
    return DEFAULT_MEMORY


def runtime_choices(survey: Survey, wishes: Wishes) -> Iterator[Choices]:
    """Container runtimes, the most suitable first; `none` is always possible."""
    known = dict(survey.runtimes)
    if wishes.runtime:
        if wishes.runtime in known:
            yield Choices(wishes.runtime, known[wishes.runtime])
        elif wishes.runtime in survey.modules:
            yield Choices(wishes.runtime, module=wishes.runtime)
        else:
            yield Choices(wishes.runtime)
        return
    for name, path in survey.runtimes:
        yield Choices(name, path)
    for name in survey.modules:
        if name not in known:
            yield Choices(name, module=name)
    yield Choices(NO_RUNTIME)


def runtime_names() -> tuple[str, ...]:
    return RUNTIMES.names


def folder_choices(survey: Survey, wishes: Wishes) -> list[str]:
    """Paths for DataRootFolder, the most suitable first; the last one is the default in the home folder."""
    if wishes.folder:
        return [wishes.folder]
    scratch = [each for each in survey.folders if each.name != "HOME" and is_suitable(each, survey)]
    return [*(f"{each.path}/{_FOLDER}" for each in scratch), default_folder()]


def is_suitable(folder: SiteFolder, survey: Survey) -> bool:
    """Whether compute nodes probably share the folder, and it has room."""
    home = next((each.file_system for each in survey.folders if each.name == "HOME"), "")
    is_shared = folder.file_system.startswith(_SHARED) or (folder.name != "path" and folder.file_system == home)
    return is_shared and (folder.free_kib is None or folder.free_kib >= _LEAST_FREE_KIB)


def default_folder() -> str:
    """The default of DataRootFolder."""
    return str(Config.model_fields["data_root_folder"].default)


def config_keys(ssh: dict[str, Any], facts: SiteFacts, choices: Choices) -> dict[str, Any]:
    """The keys of SlurmConfig.yaml that differ from their defaults, in the order of the file."""
    survey = facts.survey
    keys: dict[str, Any] = {"SSH": ssh}
    if choices.folder and choices.folder != default_folder():
        keys["DataRootFolder"] = choices.folder
    keys |= _runtime_keys(choices)
    keys |= {_SLURM_KEYS[name]: survey.commands[name] for name in _SLURM_KEYS if name in survey.outside_path}
    if choices.default_memory:
        keys["DefaultMemory"] = choices.default_memory
    if not choices.memory_option:
        keys["ResourceFlags"] = {"memory": "none"}
    if facts.settings.has_no_arrays:
        keys["JobArrays"] = "off"
    flavors = {FLAVOR: choices.flags, GPU_FLAVOR: choices.gpu_flags}
    if chosen := {name: {"SlurmFlags": list(flags)} for name, flags in flavors.items() if flags}:
        keys["Flavors"] = chosen
    if choices.flags:
        keys["DefaultFlavor"] = FLAVOR
    return keys


def _runtime_keys(choices: Choices) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    if choices.runtime != Config.model_fields["container_runtime"].default:
        keys["ContainerRuntime"] = choices.runtime
    if choices.runtime_path and not choices.runtime_path.startswith(("/usr/bin/", "/bin/")):
        keys["RuntimePath"] = choices.runtime_path
    if choices.module:
        keys["CommandPrefix"] = f"module load {choices.module}"
    return keys
