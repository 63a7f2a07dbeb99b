"""What the runner makes and checks before containers start, and what each container gets of its pod.

Containers start in stages: each init container alone, then all others together. What a stage mounts is looked at right
before it starts, since an earlier container could have changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from remote_slurm.config import Config, ContainerRuntime
from remote_slurm.domain.environment import environment
from remote_slurm.domain.expansion import expand
from remote_slurm.domain.pod import Container, Pod
from remote_slurm.domain.projections import File
from remote_slurm.domain.resources import gpu_vendor
from remote_slurm.domain.volumes import Call, Mount, Volumes


@dataclass(frozen=True, slots=True)
class Variables:
    """A container's environment, whose values travel in files."""

    container: Container
    values: Mapping[str, str]


# The two files: what the runtime reads itself, and NUL-ended NAME=VALUE for what that cannot hold
Spell = Callable[[Variables], tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A container with the words of its command expanded, and what the runner calls right before it."""

    container: Container
    init: bool
    mounts: list[Mount]
    calls: tuple[Call, ...]
    files: tuple[File, ...]
    env_file: str
    odd_env_file: str = ""
    odd_names: tuple[str, ...] = ()


def prepare(pod: Pod, volumes: Volumes, spell: Spell) -> list[Prepared]:
    """All containers, in the order in which they start. Raises Rejected."""
    return [
        _prepared(
            _Preparing(pod, volumes, spell),
            container,
            _stage_calls(pod, stage, volumes, later=number > 0) if first else (),
        )
        for number, stage in enumerate(_stages(pod))
        for container, first in ((each, each is stage[0]) for each in stage)
    ]


def first_calls(pod: Pod, volumes: Volumes, config: Config) -> tuple[Call, ...]:
    """What the runner does before anything else."""
    names = [container.name for stage in _stages(pod) for container in stage]
    scratch: list[Call] = [] if config.container_runtime is ContainerRuntime.NONE else [("scratch", *names)]
    gpus: list[Call] = [("gpus",)] if _says_gpus(pod, config) else []
    return (*scratch, *gpus, *volumes.calls)


def _says_gpus(pod: Pod, config: Config) -> bool:
    """Whether containers have to be told which GPUs are the job's: of Slurm's words they see nothing. Podman asks."""
    runtimes = (ContainerRuntime.SINGULARITY, ContainerRuntime.APPTAINER, ContainerRuntime.ENROOT)
    asked = any(gpu_vendor(container) for stage in _stages(pod) for container in stage)
    return asked and config.container_runtime in runtimes


def _stages(pod: Pod) -> list[tuple[Container, ...]]:
    return [*((each,) for each in pod.spec.init_containers), pod.spec.containers]


def _stage_calls(pod: Pod, stage: tuple[Container, ...], volumes: Volumes, *, later: bool) -> tuple[Call, ...]:
    def calls() -> Iterator[Call]:
        for container in stage:
            if later:
                yield from volumes.checks(container)
            yield from volumes.sub_paths(container, environment(container, pod))

    return tuple(dict.fromkeys(calls()))


@dataclass(frozen=True, slots=True)
class _Preparing:
    pod: Pod
    volumes: Volumes
    spell: Spell


def _prepared(preparing: _Preparing, container: Container, calls: tuple[Call, ...]) -> Prepared:
    """Secrets reach containers as environment variables too: the values travel in files, never in argv for long."""
    values = environment(container, preparing.pod)
    env_file, odd_env_file = f"secret/env/{container.name}", f"secret/odd-env/{container.name}"
    env, odd = preparing.spell(Variables(container, values))
    return Prepared(
        container=container.model_copy(
            update={
                "command": tuple(expand(word, values) for word in container.command),
                "args": tuple(expand(word, values) for word in container.args),
            }
        ),
        init=container in preparing.pod.spec.init_containers,
        mounts=preparing.volumes.mounts(container, values),
        calls=(*calls, *preparing.volumes.lacks(container)),
        files=(File(env_file, env, 0o600), *([File(odd_env_file, odd, 0o600)] if odd else [])),
        env_file=env_file,
        odd_env_file=odd_env_file if odd else "",
        odd_names=tuple(entry.partition("=")[0] for entry in odd.decode().split("\0") if entry),
    )
