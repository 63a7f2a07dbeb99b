"""Kubernetes objects as an API server would read them: by the client's own models, and no key that they do not know."""

import re
from typing import Any

import yaml
from kubernetes import client

Json = dict[str, Any]

_KINDS = {
    "ClusterRole": client.V1ClusterRole,
    "ClusterRoleBinding": client.V1ClusterRoleBinding,
    "ConfigMap": client.V1ConfigMap,
    "Deployment": client.V1Deployment,
    "Namespace": client.V1Namespace,
    "NetworkPolicy": client.V1NetworkPolicy,
    "PersistentVolumeClaim": client.V1PersistentVolumeClaim,
    "Pod": client.V1Pod,
    "Role": client.V1Role,
    "RoleBinding": client.V1RoleBinding,
    "Service": client.V1Service,
    "ServiceAccount": client.V1ServiceAccount,
}
_COLLECTION = re.compile(r"(?:[Ll]ist\[|[Dd]ict[\[(]str, )(?P<of>.+)[\])]")


def objects(text: str) -> list[Json]:
    """All documents of a file, each with fields of its kind only."""
    found = [document for document in yaml.safe_load_all(text) if document]
    for each in found:
        check(each, _KINDS[each["kind"]], each["kind"])
    return found


def check(value: Any, model: type[Any], where: str) -> None:
    """Fail where a field is not one of the model."""
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for key, inner in value.items():
        assert key in types, f"{where} has no field {key}"
        _check_type(inner, types[key], f"{where}.{key}")


def _check_type(value: Any, kind: str, where: str) -> None:
    collection = _COLLECTION.fullmatch(kind)
    if collection:
        for each in value.values() if isinstance(value, dict) else value:
            _check_type(each, collection["of"], where)
    elif value is not None and hasattr(client, kind):
        check(value, getattr(client, kind), where)
