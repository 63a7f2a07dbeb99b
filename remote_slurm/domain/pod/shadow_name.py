"""Shadow pods: the names that interLink's Virtual Kubelet gives to the pods in the cluster for offloaded ones.

The template of a shadow pod has no field for the pod's own name, and long names are cut. So the names are derived here
as pkg/virtualkubelet/mesh.go derives them (0.5.2 to 0.7, and main in July 2026), and compared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

# interLink creates the shadow pods of a namespace in one of this name, unless the pod has the annotation
# interlink.eu/shadow-same-ns
_SUFFIX = "-wstunnel"
_LONGEST = 63
_CUT = 31
_CUT_IN_SAME_NAMESPACE = 28

_Cut = Callable[[str, int, str], str]


def shadowed_namespaces(namespace: str) -> tuple[str, ...]:
    """The namespaces whose pods may have their shadow pods in this one, which is one of them."""
    other = namespace.removesuffix(_SUFFIX)
    return (namespace,) if other in ("", namespace) else (namespace, other)


def is_shadow_of(shadow: str, namespace: str, pod: str, pod_namespace: str) -> bool:
    """Whether `shadow`, a Deployment in `namespace`, is one that interLink creates for the pod."""
    if pod_namespace not in shadowed_namespaces(namespace):
        return False
    return shadow in _names(pod, pod_namespace)


def _names(pod: str, namespace: str) -> set[str]:
    found = {f"{pod}{_SUFFIX}", f"{pod}-{namespace}"}
    for cut in (_hashed, _plain):
        found.add(_name("", pod, namespace, f"{_clean(namespace)}{_SUFFIX}", _CUT, cut))
        found.add(_name("wstunnel-", pod, namespace, _clean(namespace), _CUT_IN_SAME_NAMESPACE, cut))
    return found


def _name(prefix: str, pod: str, namespace: str, of_shadow: str, most: int, cut: _Cut) -> str:
    """The name of the Deployment, whose length is limited with and without the namespace that it is in."""
    full = f"{prefix}{pod}-{namespace}"
    pod, namespace = _clean(pod), _clean(namespace)
    name = f"{prefix}{pod}-{namespace}"
    if len(name) > _LONGEST:
        name = f"{prefix}{cut(pod, most, full)}-{namespace[:most]}".rstrip("-")
    if len(f"{name}-{of_shadow}") > _LONGEST:
        name = cut(name, _CUT, full)
    return name


def _hashed(name: str, most: int, full: str) -> str:
    """Since July 2026, what is cut ends with a hash of the full name."""
    if len(name) <= most:
        return name
    suffix = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{name[: most - len(suffix) - 1].rstrip('-')}-{suffix}"


def _plain(name: str, most: int, _: str) -> str:
    return name if len(name) <= most else name[:most].rstrip("-")


def _clean(name: str) -> str:
    """One label of DNS."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST].rstrip("-") or "default"
