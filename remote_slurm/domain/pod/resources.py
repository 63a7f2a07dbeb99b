"""What a pod needs, counted as Kubernetes counts it: the sum over its containers, or its largest init container.

The rule is that of the scheduler (KEP-753 for init containers that stay, KEP-2837 for resources of a pod as a whole),
with limits in place of requests where there are some: a Slurm job has one figure for both.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from remote_slurm.domain.pod.model import Container, Pod, Resources
from remote_slurm.domain.pod.quantity import MIB, quantity, whole
from remote_slurm.errors import InvalidRequest

# A node's own disk is not a Slurm resource that every site has; a job's folder is on a shared file system.
EPHEMERAL_STORAGE = "ephemeral-storage"
GPUS = ("nvidia.com/gpu", "amd.com/gpu")
_VENDORS = ("nvidia.com/", "amd.com/")


@dataclass(frozen=True, slots=True)
class PodResources:
    """CPUs are whole numbers, and memory is in MiB; None: not requested. `others` are the extended resources."""

    cpus: int | None
    memory_mib: int | None
    others: tuple[tuple[str, Decimal], ...] = ()

    @property
    def gpus(self) -> int:
        return sum(whole(count) for name, count in self.others if name in GPUS)


def pod_resources(pod: Pod, known: Collection[str] = GPUS) -> PodResources:
    """Raises InvalidRequest for a resource that is neither CPU, memory nor one of `known`."""
    for container in pod.spec.all_containers:
        _refuse_unknown(pod, container, known)
    cpus, memory = _of_pod(pod, "cpu"), _of_pod(pod, "memory")
    others = ((name, amount) for name in _other_names(pod) if (amount := _of_pod(pod, name)))
    return PodResources(
        cpus=max(1, whole(cpus)) if cpus is not None else None,
        memory_mib=max(1, whole(memory / MIB)) if memory is not None else None,
        others=tuple(others),
    )


def names_memory(pod: Pod) -> bool:
    """Whether the pod has a memory limit or request, or a memory option of sbatch in an annotation."""
    flags = (text for key, text in pod.metadata.annotations.items() if key.endswith("/flags"))
    resources = (pod.spec.resources, *(each.resources for each in pod.spec.all_containers))
    named = (values.get("memory", "0") for each in resources for values in (each.limits, each.requests))
    return any("--mem" in text for text in flags) or any(str(amount) != "0" for amount in named)


def requests_sentence(pod: Pod) -> str:
    """The CPUs and memory of a pod, such as `500 CPUs and 1024 MiB of memory`; empty if it names none."""
    cpus, memory = _of_pod(pod, "cpu"), _of_pod(pod, "memory")
    words = [f"{max(1, whole(cpus))} CPUs"] if cpus is not None else []
    words += [f"{max(1, whole(memory / MIB))} MiB of memory"] if memory is not None else []
    return " and ".join(words)


def gpu_vendor(container: Container) -> str:
    """Whose GPUs a container asks for, `nvidia.com/` or `amd.com/`, or nothing."""
    asked = {**container.resources.requests, **container.resources.limits}
    wanted = [name for name, amount in asked.items() if name.startswith(_VENDORS) and quantity(amount, name)]
    return next((vendor for vendor in _VENDORS for name in wanted if name.startswith(vendor)), "")


def _of_pod(pod: Pod, name: str) -> Decimal | None:
    amount = _amount(pod.spec.resources, name, "the pod")
    if amount is None:
        amount = _of_containers(pod, name)
    if amount is None or name not in pod.spec.overhead:
        return amount
    return amount + quantity(pod.spec.overhead[name], f"{name} of the pod's overhead")


def _of_containers(pod: Pod, name: str) -> Decimal | None:
    """An init container that stays (restartPolicy Always) counts beside whatever comes after it."""
    asked = False
    largest = staying = Decimal(0)
    for container in pod.spec.init_containers:
        amount = _amount(container.resources, name, f"container '{container.name}'")
        asked = asked or amount is not None
        largest = max(largest, staying + (amount or 0))
        staying += (amount or 0) if container.restart_policy == "Always" else 0
    together = [_amount(each.resources, name, f"container '{each.name}'") for each in pod.spec.containers]
    if not asked and all(amount is None for amount in together):
        return None
    return max(largest, staying + sum(amount or 0 for amount in together))


def _amount(resources: Resources, name: str, whose: str) -> Decimal | None:
    """The limit, or else the request; None if both are 0 or absent, since 0 means no limit in Kubernetes."""
    asked = (values[name] for values in (resources.limits, resources.requests) if name in values)
    amounts = [quantity(each, f"{name} of {whose}") for each in asked]
    return next((amount for amount in amounts if amount), None)


def _other_names(pod: Pod) -> list[str]:
    names = {
        name: None
        for container in pod.spec.all_containers
        for name in (*container.resources.limits, *container.resources.requests)
        if name not in ("cpu", "memory")
    }
    return list(names)


def _refuse_unknown(pod: Pod, container: Container, known: Collection[str]) -> None:
    for name in (*container.resources.limits, *container.resources.requests):
        if name not in ("cpu", "memory", EPHEMERAL_STORAGE, *known):
            have = ", ".join(("cpu", "memory", *known))
            raise InvalidRequest(
                f"unsupported resource '{name}' of container '{container.name}' of pod {pod.full_name}: must be one of "
                f"{have}, or a key of ResourceFlags in the sidecar's configuration"
            )
