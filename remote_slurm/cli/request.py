"""POD.yaml -> the body of `POST /create`, exactly as the Virtual Kubelet and interLink would send it.

The Virtual Kubelet resolves `envFrom` and `valueFrom` before it sends a pod, and adds to each container the ConfigMaps,
Secrets and projected volumes that its volumeMounts use: the same is done here, from the documents in the file.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Iterator
from typing import Any

from remote_slurm.cli.documents import Documents, Json
from remote_slurm.cli.environment import Sources, environment, field_value
from remote_slurm.cli.unknown_fields import refuse_unknown_fields
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.errors import InvalidBody, InvalidRequest

_ROOT_CA = "kube-root-ca.crt"


def create_request(documents: Documents) -> Json:
    """Raises InvalidRequest for what Kubernetes or the Virtual Kubelet would refuse, and for unknown fields."""
    for kind, found in (("Pod", (documents.pod,)), ("ConfigMap", documents.config_maps), ("Secret", documents.secrets)):
        for document in found:
            refuse_unknown_fields(document, kind, documents.source)
    pod = _as_stored(documents.pod)
    sources = Sources(documents.source, pod, documents.config_maps, documents.secrets)
    containers = [*_each(pod, "initContainers"), *_each(pod, "containers")]
    for container in containers:
        resolved = environment(container, sources)
        container.pop("envFrom", None)
        container["env"] = resolved
    return {"pod": pod, "container": [_data(container, sources) for container in containers]}


def parsed(body: Json, source: str) -> CreateRequest:
    """The same in our own types. Raises InvalidRequest, about the file and not about a request."""
    try:
        return CreateRequest.parse(body)
    except InvalidRequest as error:
        problem = error.problem if isinstance(error, InvalidBody) else str(error)
        raise InvalidRequest(f"{source}: {problem}") from error


def _as_stored(pod: Json) -> Json:
    """The pod with what the API server gives to every pod: a namespace and a UID."""
    pod = copy.deepcopy(pod)
    given = pod.get("metadata")
    metadata: Json = given if isinstance(given, dict) else {}
    if metadata.get("generateName") and not metadata.get("name"):
        metadata["name"] = f"{metadata['generateName']}{secrets.token_hex(3)[:5]}"
    pod["metadata"] = {"namespace": "default", "uid": str(uuid.uuid4())} | {
        key: value for key, value in metadata.items() if value is not None
    }
    return pod


def _each(pod: Json, kind: str) -> list[Json]:
    spec = pod.get("spec")
    found = spec.get(kind) if isinstance(spec, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _data(container: Json, sources: Sources) -> Json:
    used = {mount.get("name") for mount in _each({"spec": container}, "volumeMounts")}
    volumes = [volume for volume in _each(sources.pod, "volumes") if volume.get("name") in used]
    return {
        "name": container.get("name"),
        "configMaps": _unique(
            sources.config_map(volume["configMap"].get("name"), volume["configMap"].get("optional"), _what(volume))
            for volume in volumes
            if volume.get("configMap")
        ),
        "projectedvolumemaps": [_projected(volume, sources) for volume in volumes if volume.get("projected")] or None,
        "secrets": _unique(
            sources.secret(volume["secret"].get("secretName"), volume["secret"].get("optional"), _what(volume))
            for volume in volumes
            if volume.get("secret")
        ),
        "emptyDirs": None,
    }


def _what(volume: Json) -> str:
    return f"volume '{volume.get('name')}'"


def _unique(found: Iterator[Json | None]) -> list[Json] | None:
    by_name = {each["metadata"]["name"]: each for each in found if each is not None}
    return list(by_name.values()) or None


def _projected(volume: Json, sources: Sources) -> Json:
    """A ConfigMap of the volume's name; like interLink, without Secrets, and there is no service account here.

    Nor is there the ConfigMap of each namespace with the authority of the API server, which every pod mounts.
    """
    data: dict[str, str] = {}
    for source in volume["projected"].get("sources") or []:
        if source.get("configMap"):
            data |= _projected_config_map(source["configMap"], sources, _what(volume))
        for item in (source.get("downwardAPI") or {}).get("items") or []:
            value = field_value(sources.pod, (item.get("fieldRef") or {}).get("fieldPath", ""))
            if value is not None:  # the sidecar fills in the others
                data[item["path"]] = value
    return {"metadata": {"name": volume["name"]}, "data": data}


def _projected_config_map(reference: Json, sources: Sources, what: str) -> dict[str, str]:
    optional = reference.get("optional") or reference.get("name") == _ROOT_CA
    config_map = sources.config_map(reference.get("name"), optional, what)
    content: dict[str, Any] = (config_map or {}).get("data") or {}
    items = reference.get("items") or [{"key": key, "path": key} for key in content]
    return {item["path"]: content[item["key"]] for item in items if item["key"] in content}
