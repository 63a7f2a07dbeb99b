"""The downward API: what a pod may know of itself, as kubelet writes it.

Source: Kubernetes' pkg/fieldpath and pkg/api/v1/resource. The Virtual Kubelet fills in most of it before it sends a
pod; what it leaves (resources, single labels in volumes, everything under SkipDownwardAPIResolution) is filled in here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from remote_slurm.domain.pod import Container, DownwardItem, Pod, ResourceFieldRef
from remote_slurm.domain.quantity import quantity, whole
from remote_slurm.errors import Rejected

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_POD_IP = "interlink.eu/pod-ip"


def field_value(pod: Pod, path: str, what: str) -> str:
    """What a fieldRef stands for. Raises Rejected for what only a pod that runs in Kubernetes has; `what` needs it."""
    if found := _SUBSCRIPT.fullmatch(path):
        return (pod.metadata.labels if found[1] == "labels" else pod.metadata.annotations).get(found[2], "")
    fields = _fields(pod)
    if path not in fields:
        known = ", ".join(fields)
        raise Rejected(f"{what} needs the field '{path}', which a Slurm job cannot know: {known} it can")
    return fields[path]


def pod_ip(pod: Pod) -> str:
    """The only address that is known before the job runs: a mesh gives it to the pod. Else nothing."""
    return pod.metadata.annotations.get(_POD_IP, "").strip()


def _fields(pod: Pod) -> dict[str, str]:
    metadata = pod.metadata
    fields = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "metadata.labels": _lines(metadata.labels),
        "metadata.annotations": _lines(metadata.annotations),
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
    }
    if address := pod_ip(pod):
        fields |= {"status.podIP": address, "status.podIPs": address}
    return fields


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(values.items()))


def resource_value(pod: Pod, reference: ResourceFieldRef, of: str, what: str) -> str:
    """What a resourceFieldRef stands for, rounded up; `of` is the container where the reference names none.

    Raises Rejected where there is no such figure.
    """
    name = reference.container_name or of
    kind, _, resource = reference.resource.partition(".")
    amount = _amount(_container(pod, name, what), kind, resource)
    if amount is None:
        raise Rejected(f"{what} needs {reference.resource} of container '{name}', which has none: give it one")
    # Kubernetes takes a divisor of 0 for 1
    divisor = quantity(reference.divisor, f"the divisor of {what}") or 1
    return str(whole(quantity(amount, f"{reference.resource} of container '{name}'") / divisor))


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
    raise Rejected(f"{what} needs the resources of container '{name}', which the pod does not have")


def item_value(pod: Pod, item: DownwardItem, what: str) -> str:
    """The content of one file of a downwardAPI volume. Raises Rejected."""
    if item.field_ref is not None:
        return field_value(pod, item.field_ref.field_path, what)
    if item.resource_field_ref is not None:
        return resource_value(pod, item.resource_field_ref, "", what)
    raise Rejected(f"{what} has neither a fieldRef nor a resourceFieldRef for '{item.path}'")
