"""The name of a pod's folder at the site, `<namespace>-<uid>`, and the one way to split it.

Namespaces hold dashes, and UUIDs do too. A pair whose name splits into another pair would reach the folder of another
namespace's pod, and is refused.
"""

from __future__ import annotations

import re

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"(?!-)(?!{_UUID}$)(.*?[^-])-({_UUID}|[^-]+)")


def join_key(namespace: str, uid: str) -> str:
    """Return the folder's name. Raises ValueError for a UID with which another namespace's pod could be meant."""
    key = f"{namespace}-{uid}"
    if split_key(key) != (namespace, uid):
        raise ValueError("uid must be a UUID in lower case, as the Kubernetes API server gives one to each pod")
    return key


def split_key(key: str) -> tuple[str, str] | None:
    """Return namespace and UID; None for the name of a folder that is not a pod's."""
    found = _KEY.fullmatch(key)
    return (found[1], found[2]) if found else None


def namespace_of(key: str) -> str:
    """Return the namespace of the pod whose folder has this name; empty for any other folder."""
    pair = split_key(key)
    return pair[0] if pair else ""
