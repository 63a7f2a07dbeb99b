"""Select the account of a pod: the first entry of Identities that matches it, or the one that its annotation names."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase

from remote_slurm.config import AccountConfig, Identity
from remote_slurm.domain.pod.model import Pod
from remote_slurm.errors import InvalidRequest


def identity_of(pod: Pod, config: AccountConfig) -> str:
    """Return a name in Identities; empty if there are no Identities. Raises InvalidRequest if none matches the pod.

    A service account is more specific than a namespace, so identities with the pod's come first. An annotation
    selects only among identities that match the pod anyway.
    """
    if not config.identities:
        return ""
    eligible = [name for name, each in config.identities.items() if _by_service_account(pod, each)]
    eligible += [name for name, each in config.identities.items() if _by_namespace(pod, each) and name not in eligible]
    wanted = pod.metadata.annotations.get(config.annotation, "").strip() if config.annotation else ""
    if wanted:
        return _named(pod, wanted, eligible, config)
    if not eligible:
        raise InvalidRequest(
            f"pod {pod.full_name} has no account at the site: no entry of Identities in the sidecar's "
            "configuration matches "
            f"the namespace '{pod.metadata.namespace}' or the service account '{pod.spec.service_account_name}'",
            rule="Identities",
        )
    return eligible[0]


def _named(pod: Pod, wanted: str, eligible: list[str], config: AccountConfig) -> str:
    if wanted in eligible:
        return wanted
    what = f"invalid identity '{wanted[:100]}' of pod {pod.full_name} (annotation {config.annotation})"
    if wanted in config.identities:
        raise InvalidRequest(f"{what}: it does not match the pod's namespace and service account", rule="Identities")
    nearest = difflib.get_close_matches(wanted[:100], eligible, n=1, cutoff=0)
    raise InvalidRequest(f"{what}: unknown{f', did you mean {nearest[0]}?' if nearest else ''}", rule="Identities")


def _by_service_account(pod: Pod, identity: Identity) -> bool:
    name = f"{pod.metadata.namespace}/{pod.spec.service_account_name}"
    return any(_matches(name, pattern) for pattern in identity.service_accounts)


def _matches(name: str, pattern: str) -> bool:
    """Match namespace and name separately: a `*` in the namespace does not extend into the name."""
    return all(fnmatchcase(*each) for each in zip(name.split("/"), pattern.split("/"), strict=True))


def _by_namespace(pod: Pod, identity: Identity) -> bool:
    return any(fnmatchcase(pod.metadata.namespace, pattern) for pattern in identity.namespaces)
