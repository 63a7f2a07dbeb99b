"""A job's flags: defaults < flavor < the pod's flags < what its resources come to < Policy.ForcedFlags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from remote_slurm.config import ResourceDefaults
from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.pod.quantity import MIB, whole
from remote_slurm.domain.pod.resources import EPHEMERAL_STORAGE, GPUS, PodResources
from remote_slurm.domain.slurm.flags import Flag, merge_flags, merge_resources, parse_flags
from remote_slurm.domain.slurm.flavors import ChosenFlavor

_SECONDS = 60
# Seconds that the runner needs after the grace period to end a pod and to record its end
ENDING_SECONDS = 15
# Between a time limit's SIGTERM and SIGKILL, unless the site has another KillWait (slurm.conf(5))
_KILL_WAIT_SECONDS = 30
# [days-]hours:minutes:seconds and its shorter forms (sbatch(1), --time)
_TIME = re.compile(r"(?:(?P<days>[0-9]{1,9})-)?(?P<parts>[0-9]{1,9}(?::[0-9]{1,9}){0,2})")


def resource_flags(config: ResourceDefaults) -> Mapping[str, str]:
    """Options of sbatch by the names of Kubernetes resources, as the configuration and our defaults have them."""
    return {**dict.fromkeys(GPUS, "--gres=gpu:{count}"), **config.resource_flags}


@dataclass(frozen=True, slots=True)
class FlagSources:
    """The flags of a job by their sources, each of which overrides those before it."""

    defaults: tuple[Flag, ...]
    flavor: ChosenFlavor
    annotations: tuple[Flag, ...]
    resources: PodResources
    forced: tuple[Flag, ...]


def job_flags(pod: Pod, sources: FlagSources, config: ResourceDefaults) -> tuple[Flag, ...]:
    """Return all flags of the job. Raises InvalidRequest if the configuration has one that no job can have."""
    flavor = sources.flavor
    requested = merge_flags(_defaults(pod, sources, config), flavor.flags, sources.annotations)
    if _counts_cpus_of_tasks(requested):
        requested = [flag for flag in requested if flag.name != "cpus-per-task"]
    flags = merge_resources(requested, _of_resources(sources.resources, config))
    return tuple(merge_flags(_within(flags, pod), sources.forced))


def _defaults(pod: Pod, sources: FlagSources, config: ResourceDefaults) -> Iterator[Flag]:
    flavor = sources.flavor
    yield Flag("job-name", pod.metadata.name)
    yield Flag("no-requeue")
    yield from sources.defaults
    yield from _cpus(flavor.cpus or config.default_cpu, config)
    memory = flavor.memory_bytes or config.default_memory
    if memory:
        yield from _memory(-(-memory // MIB), config)


def _of_resources(resources: PodResources, config: ResourceDefaults) -> Iterator[Flag]:
    known = resource_flags(config)
    for name, amount in resources.others:
        yield from _by_option(name, known.get(name, "none"), count=whole(amount), mib=whole(amount / MIB))
    if resources.cpus is not None:
        yield from _cpus(resources.cpus, config)
    if resources.memory_mib is not None:
        yield from _memory(resources.memory_mib, config)


def _cpus(count: int, config: ResourceDefaults) -> Iterator[Flag]:
    option = config.resource_flags.get("cpu", "--cpus-per-task={count}")
    yield from _by_option("cpu", option, count=count, mib=-(-count // MIB))


def _memory(mib: int, config: ResourceDefaults) -> Iterator[Flag]:
    yield from _by_option("memory", config.resource_flags.get("memory", "--mem={mib}M"), count=mib * MIB, mib=mib)


def _by_option(name: str, option: str, *, count: int, mib: int) -> Iterator[Flag]:
    """The flags of a ResourceFlags entry; none of them if it is `none`."""
    if option != "none":
        yield from parse_flags(option.format(count=count, mib=mib), f"ResourceFlags of {name}")


def _counts_cpus_of_tasks(flags: list[Flag]) -> bool:
    """sbatch refuses --tres-per-task=cpu:N beside --cpus-per-task, which may only be our default."""
    return any(flag.name == "tres-per-task" and "cpu" in (flag.value or "") for flag in flags)


def _within(flags: list[Flag], pod: Pod) -> list[Flag]:
    """With activeDeadlineSeconds as the time limit, in full minutes, unless the flags have a shorter one.

    Where Slurm's own pause before SIGKILL would cut the end of a pod short, its grace period is added. A --time-min
    without it would let short partitions have such a pod too, but backfill takes it at its word and lowers the limit of
    every job (measured with Slurm 24.11).
    """
    deadline = pod.spec.active_deadline_seconds
    if deadline is None:
        return flags
    limit = -(-(deadline + _ending_seconds(pod)) // _SECONDS)
    given = next((minutes_of(flag.value or "") for flag in flags if flag.name == "time"), None)
    return flags if given is not None and given <= limit else merge_flags(flags, [Flag("time", str(limit))])


def _ending_seconds(pod: Pod) -> int:
    """Some deadlines are the very limit of a partition, so that seconds are added only where they count."""
    grace = pod.spec.termination_grace_period_seconds
    return grace + ENDING_SECONDS if grace > _KILL_WAIT_SECONDS or has_pre_stop(pod) else 0


def has_pre_stop(pod: Pod) -> bool:
    """Return whether a container of the pod has a preStop hook."""
    return any(each.lifecycle.pre_stop for each in pod.spec.all_containers)


def minutes_of(text: str) -> float | None:
    """A time limit as `--time` takes it, in minutes; None where it sets none, or is not one."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        return None
    parts = [int(part) for part in found["parts"].split(":")]
    if found["days"] is not None:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        hours += int(found["days"]) * 24
    elif len(parts) == 3:  # noqa: PLR2004 - hours, minutes and seconds
        hours, minutes, seconds = parts
    else:
        hours, (minutes, seconds) = 0, (*parts, 0)[:2]
    return hours * 60 + minutes + seconds / 60 or None


def resource_warnings(resources: PodResources, flags: tuple[Flag, ...], config: ResourceDefaults) -> Iterator[str]:
    """What the pod's owner should know about its resources."""
    requested = {name for name, _ in resources.others}
    if EPHEMERAL_STORAGE in requested and EPHEMERAL_STORAGE not in config.resource_flags:
        yield (
            "ephemeral-storage is not reserved: a pod writes into DataRootFolder, or into the node's memory; "
            "ResourceFlags can set an sbatch option for it, such as --tmp={mib}"
        )
    default = config.default_memory
    if default is not None and Flag("mem", f"{-(-default // MIB)}M") in flags and resources.memory_mib is None:
        yield (
            f"no memory limit is given, so the job gets DefaultMemory ({default} bytes): "
            "a site that enforces memory kills it at once"
        )
