"""POD.yaml: one Pod, and beside it the ConfigMaps and Secrets that it uses."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from remote_slurm.errors import InvalidRequest, not_utf8

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Documents:
    """What a file holds, each as Kubernetes would store it: Secrets have no stringData any more."""

    source: str
    pod: Json
    config_maps: tuple[Json, ...] = ()
    secrets: tuple[Json, ...] = ()


def read_documents(path: Path, namespace: str = "") -> Documents:
    """`-` is standard input. `namespace` is that of documents that have none.

    Raises InvalidRequest with a sentence about whatever the file should not be.
    """
    source = "standard input" if str(path) == "-" else str(path)
    found: dict[str, list[Json]] = {"Pod": [], "ConfigMap": [], "Secret": []}
    for document in _flat(_parse(_text(path, source), source), source):
        kind = str(document.get("kind") or "")
        if kind not in found:
            what = f"an object of kind {kind!r}" if kind else "a document without a kind"
            raise InvalidRequest(
                f"{source} contains {what}: must contain a Pod, and the ConfigMaps and Secrets that it uses"
            )
        found[kind].append(_in_namespace(document, namespace, source) if namespace else document)
    if len(found["Pod"]) != 1:
        raise InvalidRequest(f"{source} must contain exactly one Pod, not {len(found['Pod'])}")
    return Documents(
        source,
        _without_kind(found["Pod"][0]),
        tuple(_config_map(each, source) for each in found["ConfigMap"]),
        tuple(_secret(each, source) for each in found["Secret"]),
    )


def _text(path: Path, source: str) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{source} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{source} {not_utf8(error)}") from error


class _Loader(yaml.SafeLoader):
    """Kubernetes' YAML is JSON in other clothes: a time is a text. A key that is there twice is an error."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # before keys of other mappings are merged, which may be there too
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"found duplicate key {key.value!r}", key.start_mark
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        super().flatten_mapping(node)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _parse(text: str, source: str) -> list[Any]:
    try:
        return list(yaml.load_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidRequest(f"{source}{line}: this is not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{source} is not YAML: {' '.join(str(error).split())}") from error


def _flat(documents: list[Any], source: str) -> Iterator[Json]:
    """The documents, with those in a List in its place."""
    for document in documents:
        if document is None:  # nothing between two separators
            continue
        if not isinstance(document, dict):
            raise InvalidRequest(
                f"{source} must contain Kubernetes documents, such as one that begins with `kind: Pod`"
            )
        if document.get("kind") == "List":
            yield from _flat(document.get("items") or [], source)
        else:
            yield document


def _in_namespace(document: Json, namespace: str, source: str) -> Json:
    metadata = document.get("metadata")
    own = metadata.get("namespace") if isinstance(metadata, dict) else None
    if own and own != namespace:
        raise InvalidRequest(
            f"{source}: {document['kind']} '{metadata.get('name')}' is in namespace '{own}', and --namespace is "  # type: ignore[union-attr]
            f"'{namespace}': omit one of the two"
        )
    return (
        document
        if own or not isinstance(metadata, dict)
        else {**document, "metadata": {**metadata, "namespace": namespace}}
    )


def _without_kind(document: Json) -> Json:
    """As Go's clients send it: which type it is goes without saying."""
    return {key: value for key, value in document.items() if key not in {"kind", "apiVersion"}}


def _config_map(document: Json, source: str) -> Json:
    for block in ("data", "binaryData"):
        _refuse_unless_text(document, block, source)
    return _without_kind(document)


def _secret(document: Json, source: str) -> Json:
    for block in ("data", "stringData"):
        _refuse_unless_text(document, block, source)
    plain = {key: _base64(value) for key, value in (document.get("stringData") or {}).items()}
    secret = _without_kind(document) | {"data": (document.get("data") or {}) | plain}
    secret.pop("stringData", None)
    return secret


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _refuse_unless_text(document: Json, block: str, source: str) -> None:
    values = document.get(block) or {}
    name = (document.get("metadata") or {}).get("name", "")
    what = f"{source}: {block} of {document['kind']} '{name}'"
    if not isinstance(values, dict):
        raise InvalidRequest(f"{what} must be a block of keys")
    for key, value in values.items():
        if not isinstance(value, str):
            raise InvalidRequest(f"invalid value of '{key}' in {what}: must be a text; put it in quotes")
