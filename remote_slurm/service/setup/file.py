"""SlurmConfig.yaml as `init` writes it: the keys that differ from their defaults, with what was found as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from remote_slurm.domain.slurm.scontrol import PartitionSettings
from remote_slurm.service.setup.choices import NO_RUNTIME, Choices, SiteFacts, config_keys, default_folder, partition_of
from remote_slurm.site.operations.survey import SiteFolder

_WIDTH = 118
_MOST_NAMES = 12
_LONGEST_WORD = 100
_ENDLESS = ("UNLIMITED", "INFINITE")
_KIB_PER_GIB = 1 << 20


def render(ssh: dict[str, Any], facts: SiteFacts, choices: Choices, fingerprints: Iterable[str]) -> str:
    """The text of the file. What the site has printed is in comments and values only, and never ends a line."""
    keys = config_keys(ssh, facts, choices)
    sections: tuple[tuple[list[str], dict[str, Any]], ...] = (
        ([*_head(facts)], {}),
        ([f"Confirmed host keys: {each}" for each in fingerprints], {"SSH": keys.pop("SSH")}),
        ([*_folders(facts, choices)], _taken(keys, "DataRootFolder")),
        ([*_runtimes(facts, choices)], _taken(keys, "ContainerRuntime", "RuntimePath", "CommandPrefix")),
        ([*_commands(facts)], {key: keys.pop(key) for key in list(keys) if key.endswith("Path")}),
        ([*_accounts(facts)], {}),
        ([*_partitions(facts, choices)], _taken(keys, "Flavors", "DefaultFlavor")),
        ([*_memory(facts, choices)], keys),
        ([*_further(facts)], {}),
    )
    return "\n".join(_section(comments, values) for comments, values in sections if comments or values)


def _taken(keys: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: keys.pop(name) for name in names if name in keys}


def _section(comments: Iterable[str], values: dict[str, Any]) -> str:
    lines = [line for text in comments for line in _comment(text)]
    return "".join(f"{line}\n" for line in (*lines, *_yaml(values)))


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False, break_long_words=True
    )


def _yaml(values: dict[str, Any]) -> list[str]:
    if not values:
        return []
    dumped: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000, default_flow_style=False)
    return dumped.splitlines()


def _head(facts: SiteFacts) -> Iterator[str]:
    survey = facts.survey
    yield f"Written by `remote-slurm init` for {_word(survey.account)} on {_word(survey.host)}: {_word(facts.version)}."
    yield "Keys that are missing here have their defaults: `remote-slurm config example` explains each one."


def _folders(facts: SiteFacts, choices: Choices) -> Iterator[str]:
    survey = facts.survey
    path = choices.folder
    if path == default_folder():
        yield f"DataRootFolder, the folder for pods, is the default: {path} in {_word(survey.home)}."
    else:
        yield "The folder for pods at the site. Compute nodes must see it: `remote-slurm check --job` tests that."
    yield f"Folders of the account: {_list(map(_folder, survey.folders))}"


def _folder(folder: SiteFolder) -> str:
    free = "free space unknown" if folder.free_kib is None else f"{folder.free_kib // _KIB_PER_GIB} GiB free"
    name = "" if folder.name == "path" else f"{_word(folder.name)} "
    return f"{name}{_word(folder.path)} ({_word(folder.file_system)}, {free})"


def _runtimes(facts: SiteFacts, choices: Choices) -> Iterator[str]:
    survey = facts.survey
    found = [f"{_word(name)} as {_word(path)}" for name, path in survey.runtimes]
    found += [f"{_word(name)} after `module load {_word(name)}`" for name in survey.modules]
    if found:
        version = f" ({_word(facts.runtime_version)})" if facts.runtime_version else ""
        yield f"Container runtimes on the login node: {_list(found)}. Chosen: {choices.runtime}{version}."
    else:
        yield "The login node has no container runtime that was found; compute nodes may have one."
    if choices.runtime == NO_RUNTIME:
        yield "none: commands of pods run on the nodes themselves, without an image and as the account."


def _commands(facts: SiteFacts) -> Iterator[str]:
    if facts.survey.outside_path:
        yield "Sessions of a service do not find these commands by their name."


def _accounts(facts: SiteFacts) -> Iterator[str]:
    survey = facts.survey
    if survey.accounts:
        default = f"; the default is {_word(survey.default_account)}" if survey.default_account else ""
        yield f"Slurm accounts: {_list(map(_word, survey.accounts))}{default}. Pods select one by --account."
    else:
        yield "Slurm shows no accounts: the site has no accounting, or hides it from users."
    if survey.qos:
        yield f"QOS: {_list(map(_word, survey.qos))}. Pods select one by --qos."


def _partitions(facts: SiteFacts, choices: Choices) -> Iterator[str]:
    if not facts.partitions:
        yield "Slurm shows no partitions to this account (PrivateData)."
        return
    usual = partition_of(facts, choices.flags)
    yield "Partitions (* is the default):"
    for each in facts.partitions[:_MOST_NAMES]:
        yield f"  {_partition(each, facts)}"
    if len(facts.partitions) > _MOST_NAMES:
        yield f"  and {len(facts.partitions) - _MOST_NAMES} more"
    where = f"Pods run in {_word(usual.name)} unless" if usual else "Pods run where the site decides unless"
    yield f"{where} the annotation slurm-job.vk.io/flags selects another one: --partition=NAME."
    if choices.flags:
        yield "DefaultFlavor adds its options to all pods; those of the annotation override them."


def _partition(partition: PartitionSettings, facts: SiteFacts) -> str:
    free = facts.free_cpus.get(partition.name)
    parts = [f"{partition.cpus} CPUs" + ("" if free is None else f", {free} free")]
    parts += [f"{partition.gpus} GPUs"] if partition.gpus else []
    if partition.max_time:
        is_endless = partition.max_time.upper() in _ENDLESS
        parts += ["no time limit"] if is_endless else [f"time limit {_word(partition.max_time)}"]
    parts += [f"{name} {_word(value)}" for name, value in partition.allowed.items()]
    parts += [] if partition.is_up else ["down"]
    return f"{_word(partition.name)}{'*' if partition.is_default else ''}: {', '.join(parts)}"


def _memory(facts: SiteFacts, choices: Choices) -> Iterator[str]:
    settings = facts.settings
    enforced = "jobs that use more than they requested are ended; " if settings.enforces_memory else ""
    if settings.allocates_memory is False:
        yield f"Memory: {enforced}Slurm does not allocate it, and jobs of a node share it."
    elif settings.allocates_memory is None:
        yield "Memory: Slurm does not show whether it is allocated and enforced."
    elif default := settings.default_memory(partition_of(facts, choices.flags)):
        yield f"Memory: {enforced}a pod that requests none gets the default of the site, {default}."
    else:
        yield f"Memory: {enforced}without this key, a pod that requests none gets all memory of its node."
    if not choices.memory_option:
        yield "Slurm refuses jobs with a memory option here, so that none is passed."


def _further(facts: SiteFacts) -> Iterator[str]:
    answers = (
        "answers" if facts.has_accounting else "does not answer, so that ends of jobs come from squeue and records"
    )
    yield f"Accounting: sacct {answers}."
    if facts.settings.has_no_arrays:
        yield "Job arrays: disabled. With JobArrays: off, none is tried."
    elif size := facts.settings.array_size:
        alike = "Pods with identical sbatch options are one array"
        yield f"Job arrays: up to {size} tasks. {alike}, unless JobArrays is off."
    if facts.forwards is True:
        yield "Ports: the login node forwards connections (PortForward.Via: ssh or auto)."
    elif facts.forwards is False:
        yield "Ports: the login node forwards no connections (PortForward.Via: srun or auto)."


def _list(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
    return ", ".join(found[:_MOST_NAMES]) + more


def _word(text: str) -> str:
    """Text of the site for a comment: one line, and not long."""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return shown if len(shown) <= _LONGEST_WORD else f"{shown[:_LONGEST_WORD]}..."
