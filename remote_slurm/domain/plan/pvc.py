"""The path at the site of a persistentVolumeClaim, by the map PersistentVolumeClaims of the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from remote_slurm.config.path_types import STORAGE_CLASS
from remote_slurm.domain.pod.model import CreateRequest, Pod
from remote_slurm.errors import InvalidRequest


def claim_pattern(claim: str, request: CreateRequest, paths: Mapping[str, str]) -> str:
    """Return the path of a claim, which may contain {namespace} and {claim}. An entry for the claim's name comes first.

    Raises InvalidRequest if there is no path, or if it depends on an unknown storage class: a wrong folder would be
    worse than none.
    """
    namespace = request.pod.metadata.namespace
    if own := _by_name(claim, namespace, paths):
        return own
    what = f"persistentVolumeClaim '{namespace}/{claim}'"
    if _has_classes(paths):
        if claim not in request.storage_classes:
            raise InvalidRequest(
                f"the storage class of {what} is unknown, but PersistentVolumeClaims selects paths by it: create the "
                "claim, or read in the sidecar's log why the Kubernetes API did not answer"
            )
        storage_class = request.storage_classes[claim]
        what += f" of the storage class '{storage_class}'" if storage_class else " without a storage class"
        if path := paths.get(f"{STORAGE_CLASS}{storage_class}"):
            return path
    if "*" not in paths:
        raise InvalidRequest(
            f"PersistentVolumeClaims has no path for {what}: add an entry to the sidecar's configuration"
        )
    return paths["*"]


def claims_of_unknown_class(pod: Pod, paths: Mapping[str, str]) -> list[str]:
    """The claims whose path depends on their storage class, each once: of those only that a container mounts."""
    if not _has_classes(paths):
        return []
    mounted = pod.spec.mounted
    names = (
        each.persistent_volume_claim.claim_name
        for each in pod.spec.volumes
        if each.persistent_volume_claim and each.name in mounted
    )
    return [name for name in dict.fromkeys(names) if not _by_name(name, pod.metadata.namespace, paths)]


def _by_name(claim: str, namespace: str, paths: Mapping[str, str]) -> str:
    return paths.get(f"{namespace}/{claim}") or paths.get(claim, "")


def _has_classes(paths: Mapping[str, str]) -> bool:
    return any(key.startswith(STORAGE_CLASS) for key in paths)
