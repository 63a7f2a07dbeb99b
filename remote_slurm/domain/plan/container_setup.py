"""What the runner makes and checks before containers start, and what each container gets of its pod.

Containers start in stages: each init container alone, then all others together. The mounts of a stage are checked right
before it starts, since an earlier container could have changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from remote_slurm.domain.plan.hidden_words import expanded_words
from remote_slurm.domain.plan.mounts import Mount
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.plan.volumes import Volumes
from remote_slurm.domain.pod.environment import environment, is_shell_name
from remote_slurm.domain.pod.limits import check_pod_arguments
from remote_slurm.domain.pod.model import Container, Pod
from remote_slurm.domain.shell import Call, Hidden, text_of


@dataclass(frozen=True, slots=True)
class Variables:
    """A container's environment, whose values travel in files."""

    container: Container
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EncodedVariables:
    """A container's variables in three parts.

    `file` is what the runtime reads itself, `carried` is for the carrier (job/variables.sh): NAME=VALUE, each with a
    NUL at its end. `words` are words of `env` in the container.
    """

    file: bytes = field(repr=False)
    carried: bytes = field(default=b"", repr=False)
    words: tuple[str, ...] = field(default=(), repr=False)


EncodeVariables = Callable[[Variables], EncodedVariables]


@dataclass(frozen=True, slots=True)
class ContainerSetup:
    """A container, its `command` and `args` with variables expanded, and what the runner calls right before it."""

    container: Container
    command: tuple[str | Hidden, ...]
    args: tuple[str | Hidden, ...]
    init: bool
    mounts: list[Mount]
    calls: tuple[Call, ...]
    files: tuple[File, ...]
    env_file: str
    carried_file: str = ""
    carried_names: tuple[str, ...] = ()
    env_words: tuple[Hidden, ...] = ()

    @property
    def size(self) -> int:
        """Of its words and variables, about."""
        words = sum(len(text_of(word)) for word in (*self.command, *self.args))
        return words + sum(len(file.content or b"") for file in self.files)


def prepare(pod: Pod, volumes: Volumes, encode: EncodeVariables) -> list[ContainerSetup]:
    """All containers, in the order in which they start. Raises InvalidRequest."""
    prepared, size = [], 0
    for number, stage in enumerate(_stages(pod)):
        for container in stage:
            calls = _stage_calls(pod, stage, volumes, later=number > 0) if container is stage[0] else ()
            prepared.append(_prepared(_Preparing(pod, volumes, encode), container, calls))
            size += prepared[-1].size
            check_pod_arguments(size)
    return prepared


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
    encode: EncodeVariables


def _prepared(preparing: _Preparing, container: Container, calls: tuple[Call, ...]) -> ContainerSetup:
    """Secrets reach containers as environment variables too: the values travel in files, and are in no argument."""
    values = environment(container, preparing.pod)
    env_file, carried_file = f"secret/env-{container.name}", f"secret/odd-env/{container.name}"
    # container runtimes set it, and Kubernetes does not expand $(HOSTNAME)
    encoded = preparing.encode(Variables(container, {"HOSTNAME": preparing.pod.hostname, **values}))
    carried = encoded.carried
    names = tuple(entry.partition("=")[0] for entry in carried.decode().split("\0") if entry)
    words = expanded_words(
        (*container.command, *container.args), values, container.name, len(encoded.file) + len(carried)
    )
    split = len(container.command)
    return ContainerSetup(
        container=container,
        command=words[:split],
        args=words[split:],
        init=container in preparing.pod.spec.init_containers,
        mounts=preparing.volumes.mounts(container, values),
        calls=(
            *calls,
            *preparing.volumes.lacks(container),
            *((("needs_carrier",),) if not all(map(is_shell_name, names)) else ()),
        ),
        files=(File(env_file, encoded.file, 0o600), *([File(carried_file, carried, 0o600)] if carried else [])),
        env_file=env_file,
        carried_file=carried_file if carried else "",
        carried_names=names,
        env_words=tuple(map(Hidden, encoded.words)),
    )
