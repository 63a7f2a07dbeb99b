"""The downward API: what a pod may know of itself, as kubelet writes it.

Source: Kubernetes' pkg/fieldpath and pkg/api/v1/resource. The Virtual Kubelet fills in most of it before it sends a
pod; what it leaves (resources, single labels in volumes, everything under SkipDownwardAPIResolution) is filled in here,
or by the runner if only the job knows it (job_values.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from remote_slurm.domain.pod.job_values import JobValue, mark
from remote_slurm.domain.pod.model import Container, DownwardItem, Pod, ResourceFieldRef
from remote_slurm.domain.pod.quantity import quantity, whole
from remote_slurm.errors import InvalidRequest

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_POD_IP = "interlink.eu/pod-ip"
# A limit that is not given is the node's allocatable amount in Kubernetes (MergeContainerResourceLimits in
# pkg/api/v1/resource), and the job's own here
_OF_JOB = {"cpu": JobValue.CPU, "memory": JobValue.MEMORY, "ephemeral-storage": JobValue.STORAGE}


def field_value(pod: Pod, path: str, what: str) -> str:
    """Return the value of a fieldRef for `what`. Raises InvalidRequest for a field that a Slurm job does not have."""
    if found := _SUBSCRIPT.fullmatch(path):
        return (pod.metadata.labels if found[1] == "labels" else pod.metadata.annotations).get(found[2], "")
    if path in _FIELDS:
        return _FIELDS[path](pod)
    known = ", ".join(_FIELDS)
    raise InvalidRequest(f"invalid fieldPath '{path[:100]}' of {what}: must be one of {known}")


def pod_ip(pod: Pod) -> str:
    """The only address that is known before the job runs: a mesh gives it to the pod. Empty without a mesh."""
    return pod.metadata.annotations.get(_POD_IP, "").strip()


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(values.items()))


def _node_address(pod: Pod) -> str:
    return mark(pod, JobValue.ADDRESS)


def _own_address(pod: Pod) -> str:
    """The job has the node's network."""
    return pod_ip(pod) or _node_address(pod)


_FIELDS: Mapping[str, Callable[[Pod], str]] = {
    "metadata.name": lambda pod: pod.metadata.name,
    "metadata.namespace": lambda pod: pod.metadata.namespace,
    "metadata.uid": lambda pod: pod.metadata.uid,
    "metadata.labels": lambda pod: _lines(pod.metadata.labels),
    "metadata.annotations": lambda pod: _lines(pod.metadata.annotations),
    "spec.nodeName": lambda pod: pod.spec.node_name or mark(pod, JobValue.NODE),
    "spec.serviceAccountName": lambda pod: pod.spec.service_account_name,
    "status.podIP": _own_address,
    "status.podIPs": _own_address,
    "status.hostIP": _node_address,
    "status.hostIPs": _node_address,
}


def resource_value(pod: Pod, reference: ResourceFieldRef, of: str, what: str) -> str:
    """Return the value of a resourceFieldRef, rounded up; `of` is the container where the reference names none.

    Raises InvalidRequest where there is no such figure.
    """
    name = reference.container_name or of
    kind, _, resource = reference.resource.partition(".")
    given = _amount(_container(pod, name, what), kind, resource)
    amount = None if given is None else quantity(given, f"{reference.resource} of container '{name}'")
    # Kubernetes takes a divisor of 0 for 1
    divisor = quantity(reference.divisor, f"the divisor of {what}") or Decimal(1)
    if not amount and kind == "limits" and resource in _OF_JOB:
        return mark(pod, _OF_JOB[resource], divisor)
    if amount is None:
        raise InvalidRequest(f"{what} needs {reference.resource} of container '{name}', which is not set: set it")
    return str(whole(amount / divisor))


def _amount(container: Container, kind: str, resource: str) -> str | int | float | None:
    """A request that is not given is the limit, and else nothing, which is 0; a limit has no such default."""
    limit = container.resources.limits.get(resource)
    if kind == "requests":
        return container.resources.requests.get(resource, 0 if limit is None else limit)
    return limit if kind == "limits" else None


def _container(pod: Pod, name: str, what: str) -> Container:
    for container in pod.spec.all_containers:
        if container.name == name:
            return container
    raise InvalidRequest(f"{what} needs the resources of container '{name}', which the pod does not have")


def item_value(pod: Pod, item: DownwardItem, what: str) -> str:
    """The content of one file of a downwardAPI volume. Raises InvalidRequest."""
    if item.field_ref is not None:
        return field_value(pod, item.field_ref.field_path, what)
    if item.resource_field_ref is not None:
        return resource_value(pod, item.resource_field_ref, "", what)
    raise InvalidRequest(f"{what} has neither a fieldRef nor a resourceFieldRef for '{item.path}'")
