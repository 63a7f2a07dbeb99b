"""The Kubernetes API, where the configuration has credentials for it: what is asked of it, and what it is told.

The official client blocks, and runs in threads of its own. Nothing depends on an answer: without one, things are as
they are without credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import yaml

from remote_slurm.config.places import IN_CLUSTER
from remote_slurm.domain.bulletins import Bulletin
from remote_slurm.domain.pod import ConfigMap, Metadata, Secret
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.events import detail, warn
from remote_slurm.remote.threads import in_thread

_SECONDS = 5.0
_NOT_FOUND, _CONFLICT = 404, 409
_COMPONENT = "remote-slurm"

_T = TypeVar("_T")


class NoCredentials(RemoteSlurmError):
    """CUSTOMKUBECONF cannot be used."""


class Cluster:
    """Raises nothing: what fails is logged, each kind of failure once until it has worked again."""

    def __init__(self, kubeconfig: Path) -> None:
        """`kubeconfig` is a file, or `in-cluster` for the pod's own service account. Raises NoCredentials."""
        from kubernetes import client  # costs a quarter of a second, for those who use it

        self._client = client
        self._api = client.CoreV1Api(_connected(kubeconfig))
        self._failing: set[str] = set()

    async def has(self, pod: Metadata) -> bool:
        """False only where Kubernetes certainly has no such pod any more."""
        found = await self._ask("looking up pods", self._api.read_namespaced_pod, pod.name, pod.namespace)
        return found is None or (found is not _ABSENT and found.metadata.uid == pod.uid)

    async def config_map(self, name: str, namespace: str) -> ConfigMap | None:
        found = await self._ask("reading ConfigMaps", self._api.read_namespaced_config_map, name, namespace)
        if found in (None, _ABSENT):
            return None
        data = {"metadata": {"name": name}, "data": found.data, "binaryData": found.binary_data}
        return ConfigMap.model_validate(data)

    async def secret(self, name: str, namespace: str) -> Secret | None:
        found = await self._ask("reading Secrets", self._api.read_namespaced_secret, name, namespace)
        if found in (None, _ABSENT):
            return None
        return Secret.model_validate({"metadata": {"name": name}, "data": found.data})

    async def storage_class(self, claim: str, namespace: str) -> str | None:
        """Empty where the claim has none; None where nobody knows, or there is no such claim."""
        call = self._api.read_namespaced_persistent_volume_claim
        found = await self._ask("reading persistentVolumeClaims", call, claim, namespace)
        return None if found in (None, _ABSENT) else found.spec.storage_class_name or ""

    async def tell(self, pod: Metadata, bulletin: Bulletin) -> None:
        """As an Event of the pod; one that was told before, by whatever process, is not told again."""
        body = _event(self._client, pod, bulletin)
        await self._ask("writing Events", self._api.create_namespaced_event, pod.namespace, body)

    async def _ask(self, what: str, call: Callable[..., _T], *arguments: Any) -> Any:
        """The answer; _ABSENT where there is no such thing, None where nobody knows."""
        from urllib3.exceptions import HTTPError

        try:
            answer = await in_thread("kubernetes", lambda: call(*arguments, _request_timeout=_SECONDS))
        except self._client.ApiException as error:
            if error.status in (_NOT_FOUND, _CONFLICT):
                return _ABSENT
            return self._failed(what, f"{error.status} {error.reason}")
        except (HTTPError, OSError) as error:
            return self._failed(what, _reason(error))
        self._failing.discard(what)
        return answer

    def _failed(self, what: str, why: str) -> None:
        tell = detail if what in self._failing else warn
        self._failing.add(what)
        tell(f"{what} failed at the Kubernetes API, and things go on without it: {why}")


class _Absent:
    """There is no such thing."""


_ABSENT = _Absent()


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error))


def _connected(kubeconfig: Path) -> Any:
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        if str(kubeconfig) == IN_CLUSTER:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            config.load_kube_config(str(kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise NoCredentials(
            f"CUSTOMKUBECONF {kubeconfig} cannot be used: {_complaint(kubeconfig, error)}; name a kubeconfig, or "
            "in-cluster for the service account of the sidecar's own pod"
        ) from error
    settings.retries = False
    return client.ApiClient(settings)


def _complaint(kubeconfig: Path, error: Exception) -> str:
    """The library calls a file that is not there an invalid one, and stumbles over what is no block of keys."""
    if isinstance(error, OSError):
        return str(error.strerror)
    if isinstance(error, TypeError | AttributeError | UnicodeDecodeError | yaml.YAMLError):
        return "it is no kubeconfig"
    if str(kubeconfig) != IN_CLUSTER and not kubeconfig.exists():
        return "it does not exist"
    return " ".join(str(error).split()).rstrip(".")


def _event(client: Any, pod: Metadata, bulletin: Bulletin) -> Any:
    now = datetime.now(UTC)
    name = sha256(f"{pod.uid} {bulletin.key}".encode()).hexdigest()[:16]
    return client.CoreV1Event(
        metadata=client.V1ObjectMeta(name=f"{pod.name}.{name}", namespace=pod.namespace),
        involved_object=client.V1ObjectReference(
            api_version="v1", kind="Pod", name=pod.name, namespace=pod.namespace, uid=pod.uid
        ),
        reason=bulletin.reason,
        message=bulletin.message[:1024],
        type="Warning" if bulletin.is_warning else "Normal",
        source=client.V1EventSource(component=_COMPONENT),
        reporting_component=_COMPONENT,
        reporting_instance=_COMPONENT,
        action=bulletin.reason,
        first_timestamp=now,
        last_timestamp=now,
        event_time=now,
        count=1,
    )
