"""A container's environment as the Virtual Kubelet sends it: every variable with its value.

The rules are Kubernetes' own (API reference, EnvVar and EnvFromSource): `env` wins over `envFrom`, a later `envFrom`
over an earlier one, and `$(NAME)` is replaced by the value of an earlier variable.

What only the sidecar or the job knows, such as resources and addresses, is sent as it is, and filled in there.

Variables of Kubernetes services are left out. Without them, the sidecar expands references to earlier variables once
more, so that a `$(NAME)` that is part of a value is sent as `$$(NAME)`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from remote_slurm.cli.documents import Json
from remote_slurm.errors import InvalidRequest

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^()]+)\))")
_REFERENCE_IN_VALUE = re.compile(r"\$\(([^)]*)\)")
# In place of the `$` of a reference to a variable whose value is not known here; no value has a NUL
_OPEN = "\0"
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


@dataclass(frozen=True, slots=True)
class _Deferred:
    """A valueFrom that the sidecar resolves."""

    value_from: Json


@dataclass(frozen=True, slots=True)
class Sources:
    """What a value may come from: the pod itself, and the ConfigMaps and Secrets beside it."""

    file: str
    pod: Json
    config_maps: tuple[Json, ...]
    secrets: tuple[Json, ...]

    def config_map(self, name: str | None, optional: object, what: str) -> Json | None:
        """None where it is missing and may be. Raises InvalidRequest; `what` needs it."""
        return self._find(self.config_maps, f"ConfigMap '{name}'", name, optional, what)

    def secret(self, name: str | None, optional: object, what: str) -> Json | None:
        """None where it is missing and may be. Raises InvalidRequest; `what` needs it."""
        return self._find(self.secrets, f"Secret '{name}'", name, optional, what)

    def _find(self, among: tuple[Json, ...], named: str, name: str | None, optional: object, what: str) -> Json | None:
        own = self.pod["metadata"]["namespace"]
        for each in among:
            metadata = each.get("metadata") or {}
            if metadata.get("name") == name and metadata.get("namespace", own) == own:
                return each
        if optional:
            return None
        raise InvalidRequest(
            f"{what} needs {named}, which {self.file} does not contain: add it to the file, after a line `---`"
        )


def environment(container: Json, sources: Sources) -> list[Json]:
    """Name and value of each variable. Raises InvalidRequest where a value is not to be had."""
    what = f"container '{container.get('name')}'"
    values: dict[str, Any] = {}
    for source in container.get("envFrom") or []:
        values |= _all_of(source, sources, what)
    for variable in container.get("env") or []:
        name = variable.get("name")
        values[name] = _value(variable, values, sources, f"environment variable '{name}' of {what}")
    return list(_escaped(values))


def _escaped(values: dict[str, Any]) -> Iterator[Json]:
    """Name and value of each variable, with `$$(NAME)` for a `$(NAME)` that the sidecar would expand."""
    sent: set[str] = set()
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, _Deferred):
            yield {"name": name, "valueFrom": value.value_from}
            sent.add(name)
            continue
        text = value
        if isinstance(value, str):
            text = _REFERENCE_IN_VALUE.sub(lambda found: f"${found[0]}" if found[1] in sent else found[0], value)
            text = text.replace(_OPEN, "$")
        yield {"name": name, "value": text}
        sent.add(name)


def field_value(pod: Json, path: str) -> str | None:
    """The value of a fieldRef; None for a field that is not known before the sidecar has the pod."""
    metadata = pod["metadata"]
    found = _SUBSCRIPT.fullmatch(path)
    if found:
        return str((metadata.get(found[1]) or {}).get(found[2], ""))
    fields = {
        "metadata.name": metadata.get("name") or "",
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": (pod.get("spec") or {}).get("nodeName"),
        "spec.serviceAccountName": (pod.get("spec") or {}).get("serviceAccountName", "default"),
    }
    found_there = fields.get(path)
    return None if found_there is None else str(found_there)


def _all_of(source: Json, sources: Sources, what: str) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    if source.get("configMapRef"):
        reference = source["configMapRef"]
        content = _texts(sources.config_map(reference.get("name"), reference.get("optional"), what))
    else:
        reference = source.get("secretRef") or {}
        content = _decoded(sources.secret(reference.get("name"), reference.get("optional"), what))
    return {f"{prefix}{key}": value for key, value in content.items()}


def _value(variable: Json, before: dict[str, Any], sources: Sources, what: str) -> Any:
    """The value; None leaves the variable out, as an optional reference to nothing does."""
    source = variable.get("valueFrom")
    if not source:
        value = variable.get("value") or ""
        return _expanded(value, before) if isinstance(value, str) else value
    if source.get("fieldRef"):
        known = field_value(sources.pod, source["fieldRef"].get("fieldPath", ""))
        return _Deferred(source) if known is None else known
    if source.get("resourceFieldRef"):
        return _Deferred(source)
    if source.get("configMapKeyRef"):
        reference = source["configMapKeyRef"]
        content = _texts(sources.config_map(reference.get("name"), reference.get("optional"), what))
    elif source.get("secretKeyRef"):
        reference = source["secretKeyRef"]
        content = _decoded(sources.secret(reference.get("name"), reference.get("optional"), what))
    else:
        raise InvalidRequest(f"{what} takes its value from {next(iter(source))}, which is not supported here")
    return _key(content, reference, what)


def _key(content: dict[str, str], reference: Json, what: str) -> str | None:
    key = reference.get("key")
    if key in content:
        return content[key]
    if reference.get("optional"):
        return None
    raise InvalidRequest(f"{what} needs the key '{key}' of '{reference.get('name')}', which has no such key")


def _expanded(text: str, known: dict[str, Any]) -> str:
    """`$(NAME)` by its value, where there is one; `$$` is a single `$`."""

    def replaced(found: re.Match[str]) -> str:
        value = known.get(found[2], found[0])
        if isinstance(value, _Deferred):
            return f"{_OPEN}({found[2]})"
        return "$" if found[1] else str(value)

    return _REFERENCE.sub(replaced, text)


def _texts(config_map: Json | None) -> dict[str, str]:
    return dict((config_map or {}).get("data") or {})


def _decoded(secret: Json | None) -> dict[str, str]:
    data = (secret or {}).get("data") or {}
    try:
        return {key: base64.b64decode(value, validate=True).decode() for key, value in data.items()}
    except (binascii.Error, UnicodeDecodeError) as error:
        name = (secret or {})["metadata"]["name"]
        raise InvalidRequest(
            f"invalid data of Secret '{name}': must be base64; use stringData for plain text"
        ) from error
