"""What a pod needs, counted as Kubernetes counts it: the sum over its containers, or its largest init container."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from remote_slurm.domain.pod import Container, Pod
from remote_slurm.domain.quantity import MIB, quantity, whole
from remote_slurm.errors import Rejected

# Resource names that device plugins register, and what they are called as a generic resource in Slurm
_GRES = {"nvidia.com/gpu": "gpu", "amd.com/gpu": "gpu"}
# A node's own disk is not a Slurm resource that every site has; a job's folder is on a shared file system.
_NOT_COUNTED = ("ephemeral-storage",)


@dataclass(frozen=True, slots=True)
class PodResources:
    """Whole CPUs, memory in MiB, and generic resources by Slurm's name; None where the pod says nothing."""

    cpus: int | None
    memory_mib: int | None
    gres: tuple[tuple[str, int], ...] = ()


def pod_resources(pod: Pod) -> PodResources:
    """Raises Rejected for a resource that has no counterpart in Slurm."""
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        _refuse_unknown(pod, container)
    memory = _of_pod(pod, "memory")
    cpus = _of_pod(pod, "cpu")
    gres = [(slurm, whole(count)) for name, slurm in _GRES.items() if (count := _of_pod(pod, name))]
    return PodResources(
        cpus=max(1, whole(cpus)) if cpus is not None else None,
        memory_mib=max(1, whole(memory / MIB)) if memory is not None else None,
        gres=tuple(gres),
    )


def wants_gpu(container: Container) -> str:
    """The resource name of the GPUs that a container asks for, or nothing."""
    for name in _GRES:
        asked = container.resources.get(name)
        if asked is not None and quantity(asked, name) > 0:
            return name
    return ""


def _of_pod(pod: Pod, name: str) -> Decimal | None:
    together = list(_asked(pod.spec.containers, name))
    one_by_one = list(_asked(pod.spec.init_containers, name))
    if not together and not one_by_one:
        return None
    return max(sum(together, Decimal(0)), *one_by_one, Decimal(0))


def _asked(containers: Iterable[Container], name: str) -> Iterable[Decimal]:
    for container in containers:
        asked = container.resources.get(name)
        if asked is not None:
            yield quantity(asked, f"{name} of container '{container.name}'")


def _refuse_unknown(pod: Pod, container: Container) -> None:
    for name in (*container.resources.limits, *container.resources.requests):
        if name not in ("cpu", "memory", *_GRES, *_NOT_COUNTED):
            known = ", ".join(("cpu", "memory", *_GRES))
            raise Rejected(
                f"container '{container.name}' of pod {pod.full_name} asks for '{name}', "
                f"which has no counterpart in Slurm here: {known} have"
            )
