"""Fields of a pod file that Kubernetes does not know: a misspelt field would be ignored without a word.

Only files are checked. `serve` accepts whatever the Virtual Kubelet sends: a newer Kubernetes may have more fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from remote_slurm.errors import InvalidRequest

_POD, _SPEC, _CONTAINER, _METADATA = "V1Pod", "V1PodSpec", "V1Container", "V1ObjectMeta"
_PLACES = {
    _METADATA: "metadata",
    _SPEC: "spec",
    _CONTAINER: "a container",
    "V1ResourceRequirements": "resources",
    "V1SecurityContext": "securityContext",
    _POD: "the Pod itself, beside metadata and spec",
}
_TYPES = {"Pod": _POD, "ConfigMap": "V1ConfigMap", "Secret": "V1Secret"}
_MOST = 10


def refuse_unknown_fields(document: dict[str, Any], kind: str, source: str) -> None:
    """Raises InvalidRequest with a line for each field that documents of this kind do not have."""
    problems = list(_unknown(document, _TYPES[kind], ""))
    if problems:
        more = [f"and {len(problems) - _MOST} more"] if len(problems) > _MOST else []
        named = f"{kind} '{(document.get('metadata') or {}).get('name', '')}'" if kind != "Pod" else ""
        where = f"{source}: {named}: " if named else f"{source}: "
        raise InvalidRequest("\n".join([f"{where}{problem}" for problem in problems[:_MOST]] + more))


def _unknown(value: Any, kind: str, where: str) -> Iterator[str]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unknown(item, kind, f"{where}[{number}]")
    elif isinstance(value, dict):
        fields = _fields()[kind]
        for key, inner in value.items():
            if key not in fields:
                place = f" in {where}" if where else ""
                yield f"unknown field '{_visible(str(key))}'{place}: {_advice(str(key), kind)}"
            elif fields[key]:
                yield from _unknown(inner, fields[key], f"{where}.{key}" if where else str(key))


def _visible(key: str) -> str:
    """A no-break space, as copied from a web page, looks like indentation."""
    return key if key.isprintable() else ascii(key)[1:-1]


def _advice(key: str, kind: str) -> str:
    """The nearest field, or the place where the field belongs."""
    fields = _fields()[kind]
    if not key.isprintable():
        return "remove what is no letter, such as the no-break spaces of a web page"
    lower = {field.lower(): field for field in fields}
    near = get_close_matches(key.lower(), lower, n=1, cutoff=0.7)
    places = [place for other, place in _PLACES.items() if key in _fields()[other]]
    if places:
        return f"it is a field of {places[0]}"
    if near:
        return f"did you mean '{lower[near[0]]}'?"
    return f"must be one of {', '.join(fields)}" if len(fields) <= _MOST else "Kubernetes has no such field there"


@cache
def _fields() -> dict[str, dict[str, str]]:
    table = json.loads((files("remote_slurm.cli") / "kubernetes_fields.json").read_text(encoding="utf-8"))
    types: dict[str, dict[str, str]] = table["types"]
    return types
