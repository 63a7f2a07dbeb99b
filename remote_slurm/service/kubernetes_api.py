"""The Kubernetes API, if the configuration has credentials for it.

The official client is the extra `kubernetes`, which is half of all that is installed. It is imported only if
CUSTOMKUBECONF asks for it. It blocks, so that it runs in threads of its own. If a call fails, the sidecar continues as
without credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import yaml

from remote_slurm.config.path_types import IN_CLUSTER
from remote_slurm.config.strict_modes import unsafe_file
from remote_slurm.domain.pod.model import ConfigMap, Metadata, Secret
from remote_slurm.domain.status.pod_events import PodEvent
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.log import debug, warning
from remote_slurm.ssh.threads import in_thread

_SECONDS = 5.0
_NOT_FOUND, _CONFLICT = 404, 409
_COMPONENT = "remote-slurm"
# Of the message of an Event: ValidateEventCreate (Kubernetes 1.34) counts bytes, though its error says characters
_MOST_BYTES = 1024
_REVIEWING = "reviewing tokens"

NEEDS_PACKAGES = (
    "CUSTOMKUBECONF needs packages that are not installed here: pip install 'remote-slurm[kubernetes]', or leave "
    "CUSTOMKUBECONF empty"
)

_T = TypeVar("_T")


def is_installed() -> bool:
    """Whether the extra `kubernetes` is installed."""
    return find_spec("kubernetes") is not None


class NoCredentials(RemoteSlurmError):
    """CUSTOMKUBECONF cannot be used."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a TokenReview says of a token: whose it is, and for which of the audiences that were asked for."""

    authenticated: bool
    user: str = ""
    audiences: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call has failed: the status of the reply, None if there was none, and words."""

    status: int | None
    reason: str


class Cluster:
    """Its calls raise nothing: a failure is logged once, until the same kind of call has succeeded again."""

    def __init__(self, kubeconfig: Path) -> None:
        """`kubeconfig` is a file, or `in-cluster` for the pod's own service account. Raises NoCredentials."""
        self._client = client = _client()
        connected = _connected(kubeconfig)
        self._api = client.CoreV1Api(connected)
        self._authentication = client.AuthenticationV1Api(connected)
        self.address: str = connected.configuration.host
        self._failing: dict[str, Failure] = {}

    async def has(self, pod: Metadata) -> bool:
        """False only if Kubernetes replied that it has no such pod."""
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
        """The storage class of a claim, empty if it has none; None if the call failed or there is no such claim."""
        call = self._api.read_namespaced_persistent_volume_claim
        found = await self._ask("reading persistentVolumeClaims", call, claim, namespace)
        return None if found in (None, _ABSENT) else found.spec.storage_class_name or ""

    async def review_token(self, token: str, audiences: Collection[str]) -> Reviewed | None:
        """Whose token it is; None if the call failed."""
        spec = self._client.V1TokenReviewSpec(token=token, audiences=list(audiences))
        body = self._client.V1TokenReview(spec=spec)
        found = await self._ask(_REVIEWING, self._authentication.create_token_review, body)
        status = getattr(found, "status", None)
        if status is None:
            return None
        user = (status.user and status.user.username) or ""
        error = " ".join((status.error or "").split())[:200]
        return Reviewed(bool(status.authenticated), user, tuple(status.audiences or ()), error)

    async def why_no_review(self, audiences: Collection[str]) -> Failure | None:
        """Why the API reviews no tokens for this account; None if it does."""
        if await self.review_token("none", audiences) is not None:
            return None
        return self._failing.get(_REVIEWING) or Failure(None, "the reply is no TokenReview")

    async def create_event(self, pod: Metadata, event: PodEvent) -> None:
        """Create an Event of the pod, unless this or an earlier process has created it."""
        body = _event(self._client, pod, event)
        await self._ask("writing Events", self._api.create_namespaced_event, pod.namespace, body)

    async def _ask(self, what: str, call: Callable[..., _T], *arguments: Any) -> Any:
        """The reply; _ABSENT if there is no such object, None if the call failed."""
        from urllib3.exceptions import HTTPError

        try:
            answer = await in_thread("kubernetes", lambda: call(*arguments, _request_timeout=_SECONDS))
        except self._client.ApiException as error:
            if error.status in (_NOT_FOUND, _CONFLICT):
                return _ABSENT
            return self._failed(what, Failure(error.status, f"{error.status} {error.reason}"))
        except (HTTPError, OSError) as error:
            return self._failed(what, Failure(None, _reason(error)))
        self._failing.pop(what, None)
        return answer

    def _failed(self, what: str, why: Failure) -> None:
        write = debug if what in self._failing else warning
        self._failing[what] = why
        write("a call of the Kubernetes API failed, continuing without it", call=what, reason=why.reason)


class _Absent:
    """The API has no such object."""


_ABSENT = _Absent()


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error))


def _client() -> Any:
    if not is_installed():
        raise NoCredentials(NEEDS_PACKAGES)
    from kubernetes import client  # the import takes a quarter of a second

    return client


def _connected(kubeconfig: Path) -> Any:
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        if str(kubeconfig) == IN_CLUSTER:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            if kubeconfig.exists() and (found := unsafe_file(kubeconfig)):
                raise NoCredentials(f"CUSTOMKUBECONF {kubeconfig} is not used: {found}")
            config.load_kube_config(str(kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise NoCredentials(
            f"CUSTOMKUBECONF {kubeconfig} cannot be used: {_complaint(kubeconfig, error)}; name a kubeconfig, or "
            "in-cluster for the service account of the sidecar's own pod"
        ) from error
    settings.retries = False
    return client.ApiClient(settings)


def _complaint(kubeconfig: Path, error: Exception) -> str:
    """The library reports a missing file as invalid, and raises errors of its own code for other YAML."""
    if isinstance(error, OSError):
        return str(error.strerror)
    if isinstance(error, TypeError | AttributeError | UnicodeDecodeError | yaml.YAMLError):
        return "it is no kubeconfig"
    if str(kubeconfig) != IN_CLUSTER and not kubeconfig.exists():
        return "it does not exist"
    return " ".join(str(error).split()).rstrip(".")


def _event(client: Any, pod: Metadata, event: PodEvent) -> Any:
    now = datetime.now(UTC)
    name = sha256(f"{pod.uid} {event.key}".encode()).hexdigest()[:16]
    return client.CoreV1Event(
        metadata=client.V1ObjectMeta(name=f"{pod.name}.{name}", namespace=pod.namespace),
        involved_object=client.V1ObjectReference(
            api_version="v1", kind="Pod", name=pod.name, namespace=pod.namespace, uid=pod.uid
        ),
        reason=event.reason,
        message=event.message.encode()[:_MOST_BYTES].decode(errors="ignore"),
        type="Warning" if event.is_warning else "Normal",
        source=client.V1EventSource(component=_COMPONENT),
        reporting_component=_COMPONENT,
        reporting_instance=_COMPONENT,
        action=event.reason,
        first_timestamp=now,
        last_timestamp=now,
        event_time=now,
        count=1,
    )
