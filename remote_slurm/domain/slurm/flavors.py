"""Which of the configuration's flavors a pod gets: the one it names, one for its GPUs, or the default.

As in the reference plugin, a flavor is one for GPUs where some of its flags speak of `gpu`; the one whose flags ask for
as many as the pod does is preferred.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from remote_slurm.config import Flavor, ResourceDefaults
from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.slurm.flags import Flag, gpu_count, parse_flags
from remote_slurm.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class ChosenFlavor:
    """A flavor, with its flags parsed. That of a pod without one has no name and no flags."""

    name: str = ""
    cpus: int = 0
    memory_bytes: int = 0
    uid: int | None = None
    flags: tuple[Flag, ...] = ()


def choose_flavor(pod: Pod, named: str, gpus: int, config: ResourceDefaults) -> ChosenFlavor:
    """Return the flavor that the annotation names, or the one for `gpus`. Raises InvalidRequest for an unknown name."""
    if named:
        if named not in config.flavors:
            raise InvalidRequest(f"invalid flavor '{named[:100]}' of pod {pod.full_name}: {_instead(named, config)}")
        return _read(named, config.flavors[named])
    for_gpus = _for_gpus(gpus, config) if gpus else None
    if for_gpus is not None:
        return for_gpus
    default = config.flavors.get(config.default_flavor)
    return _read(config.default_flavor, default) if default else ChosenFlavor()


def _instead(named: str, config: ResourceDefaults) -> str:
    if not config.flavors:
        return "Flavors in the sidecar's configuration is empty"
    nearest = difflib.get_close_matches(named[:100], config.flavors, n=1, cutoff=0)[0]
    return f"must be one of Flavors in the sidecar's configuration; did you mean '{nearest}'?"


def _for_gpus(gpus: int, config: ResourceDefaults) -> ChosenFlavor | None:
    flavors = [
        _read(name, flavor)
        for name, flavor in config.flavors.items()
        if any("gpu" in flag.lower() for flag in flavor.slurm_flags)
    ]
    exact = (flavor for flavor in flavors if gpu_count(flavor.flags) == gpus)
    return next(exact, flavors[0] if flavors else None)


def _read(name: str, flavor: Flavor) -> ChosenFlavor:
    flags = parse_flags(" ".join(flavor.slurm_flags), f"SlurmFlags of the flavor '{name}'")
    return ChosenFlavor(name, flavor.cpu_default, flavor.memory_default, flavor.uid, tuple(flags))
