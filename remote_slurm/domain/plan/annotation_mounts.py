"""The annotations <runtime>-mounts and <runtime>-options, such as singularity-mounts and enroot-options.

Mounts become hostPath volumes, to which AllowedHostPaths, the rules of Policies and all checks on the node apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from remote_slurm.domain.pod.model import Container, HostPathVolume, Pod, Volume, VolumeMount
from remote_slurm.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class AnnotationMount:
    """One bind mount; `name` is the annotation's."""

    name: str
    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class RuntimeAnnotations:
    """The annotations for one runtime, whose names begin with `name`.

    <name>-mounts has words of the runtime's `mount_options`, or their values, which are split at the regular expression
    `separator`; beside ro and rw, `mount_flags` are allowed in a mount. <name>-options has any options of the runtime.
    """

    name: str
    mount_options: tuple[str, ...]
    separator: str = ""
    mount_flags: frozenset[str] = frozenset()

    @property
    def mounts(self) -> str:
        return f"{self.name}-mounts"

    @property
    def options(self) -> str:
        return f"{self.name}-options"

    def read_mounts(self, words: Iterable[str], where: str) -> tuple[AnnotationMount, ...]:
        """`--bind /a:/b:ro /c` -> mounts. Raises InvalidRequest for a word that is neither the option nor a mount."""
        specs = (spec for word in self._specs(list(words), where) for spec in self._split(word))
        return tuple(self._mount(spec, where) for spec in specs)

    def _specs(self, words: list[str], where: str) -> Iterator[str]:
        while words:
            word = words.pop(0)
            option, equals, value = word.partition("=")
            if word in self.mount_options:
                if not words:
                    raise InvalidRequest(f"{where}: {word} needs a value")
                yield words.pop(0)
            elif equals and option in self.mount_options:
                yield value
            else:
                yield word

    def _split(self, word: str) -> list[str]:
        return re.split(self.separator, word) if self.separator else [word]

    def _mount(self, spec: str, where: str) -> AnnotationMount:
        source, *rest = spec.split(":")
        target, flags = (rest[0], ",".join(rest[1:]).split(",")) if rest else (source, [])
        given = {each for each in flags if each}
        if not source.startswith("/") or not target.startswith("/") or given - {"ro", "rw"} - self.mount_flags:
            raise InvalidRequest(
                f"invalid mount '{spec.partition('=')[0]}' in {where}: must be /SOURCE, /SOURCE:/TARGET or "
                "/SOURCE:/TARGET:ro"
            )
        return AnnotationMount(self.mounts, source, target, "ro" in given)


def with_mounts(pod: Pod, mounts: tuple[AnnotationMount, ...]) -> Pod:
    """Return the pod with these mounts as hostPath volumes; its own volumeMounts come after them."""
    if not mounts:
        return pod
    # a name that no volume in Kubernetes can have, and so none that is validated
    names = [f"{each.name} {each.source}:{each.target}" for each in mounts]
    volumes = [
        Volume.model_construct(name=name, host_path=HostPathVolume(path=each.source), kind="hostPath")
        for name, each in zip(names, mounts, strict=True)
    ]
    own = tuple(
        VolumeMount(name=name, mount_path=each.target, read_only=each.read_only)
        for name, each in zip(names, mounts, strict=True)
    )

    def mounting(containers: tuple[Container, ...]) -> tuple[Container, ...]:
        return tuple(
            each.model_copy(update={"volume_mounts": (*_beside(own, each), *each.volume_mounts)}) for each in containers
        )

    spec = pod.spec.model_copy(
        update={
            "volumes": (*pod.spec.volumes, *volumes),
            "containers": mounting(pod.spec.containers),
            "init_containers": mounting(pod.spec.init_containers),
        }
    )
    return pod.model_copy(update={"spec": spec})


def _beside(own: tuple[VolumeMount, ...], container: Container) -> tuple[VolumeMount, ...]:
    """Of two mounts at one place, the container's own counts."""
    taken = {each.mount_path.rstrip("/") for each in container.volume_mounts}
    return tuple(each for each in own if each.mount_path.rstrip("/") not in taken)
