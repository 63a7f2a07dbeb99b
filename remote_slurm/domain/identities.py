"""As which account a pod runs: the first of Identities that is for it, or the one of them that it names."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase

from remote_slurm.config import Config, Identity
from remote_slurm.domain.pod import Pod
from remote_slurm.errors import Rejected


def identity_of(pod: Pod, config: Config) -> str:
    """Its name in Identities; empty where there are none. Raises Rejected where none is for the pod.

    A service account says more than a namespace, so that identities which name the pod's come first. An annotation
    chooses among those that are for the pod anyway: it gives nobody an account that is not theirs.
    """
    if not config.identities:
        return ""
    eligible = [name for name, each in config.identities.items() if _by_service_account(pod, each)]
    eligible += [name for name, each in config.identities.items() if _by_namespace(pod, each) and name not in eligible]
    wanted = pod.metadata.annotations.get(config.identity_annotation, "").strip() if config.identity_annotation else ""
    if wanted:
        return _named(pod, wanted, eligible, config)
    if not eligible:
        raise Rejected(
            f"pod {pod.full_name} has no account at the site: none of Identities in the sidecar's configuration is for "
            f"the namespace '{pod.metadata.namespace}' or its service account '{pod.spec.service_account_name}'"
        )
    return eligible[0]


def _named(pod: Pod, wanted: str, eligible: list[str], config: Config) -> str:
    if wanted in eligible:
        return wanted
    what = f"pod {pod.full_name} asks for the identity '{wanted}' ({config.identity_annotation})"
    if wanted in config.identities:
        raise Rejected(f"{what}, which is not for its namespace and service account")
    nearest = difflib.get_close_matches(wanted, eligible, n=1, cutoff=0)
    raise Rejected(f"{what}, which there is not{f': the nearest one is {nearest[0]}' if nearest else ''}")


def _by_service_account(pod: Pod, identity: Identity) -> bool:
    name = f"{pod.metadata.namespace}/{pod.spec.service_account_name}"
    return any(_matches(name, pattern) for pattern in identity.service_accounts)


def _matches(name: str, pattern: str) -> bool:
    """Part by part: a `*` in the namespace does not reach into the name."""
    return all(fnmatchcase(*each) for each in zip(name.split("/"), pattern.split("/"), strict=True))


def _by_namespace(pod: Pod, identity: Identity) -> bool:
    return any(fnmatchcase(pod.metadata.namespace, pattern) for pattern in identity.namespaces)
