"""interLink's JSON -> Pod: only the fields that are used, with Go's `null` read as absent.

The shapes are those of `v1.Pod` (Kubernetes API reference) and of interLink's `RetrievedPodData`.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from remote_slurm.domain.fields import refused, unheeded
from remote_slurm.domain.lifecycle import Lifecycle, Probe, RestartRule
from remote_slurm.domain.wire import Wire
from remote_slurm.errors import Rejected

# Both become parts of paths and of file names at the site. Kubernetes allows less (RFC 1123 labels and UUIDs).
_SAFE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def _safe_name(value: object) -> object:
    if not isinstance(value, str) or not _SAFE_NAME.fullmatch(value) or ".." in value:
        raise ValueError("must be letters, digits, '-' and '.', and start and end with a letter or digit")
    return value


Name = Annotated[str, BeforeValidator(_safe_name)]


# Kubernetes takes negative ones for 1 (TerminationGracePeriodSeconds in its core/v1 types)
GraceSeconds = Annotated[int, AfterValidator(lambda seconds: seconds if seconds >= 0 else 1)]

_Model = TypeVar("_Model", bound=Wire)


class Metadata(Wire):
    name: Name
    namespace: Name = "default"
    uid: Name
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    deletion_grace_period_seconds: GraceSeconds | None = None


class FieldRef(Wire):
    field_path: str


class ResourceFieldRef(Wire):
    resource: str
    container_name: str = ""
    divisor: str | int | float = "1"


class KeyRef(Wire):
    """A key of a ConfigMap or a Secret."""

    name: str = ""
    key: str = ""
    optional: bool = False


class ValueFrom(Wire):
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None


class EnvVar(Wire):
    name: str
    value: str = ""
    value_from: ValueFrom | None = None


class VolumeMount(Wire):
    name: str
    mount_path: str
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool = False


class Resources(Wire):
    limits: dict[str, str | int | float] = {}
    requests: dict[str, str | int | float] = {}

    def get(self, name: str) -> str | int | float | None:
        """The limit, else the request, else None: a Slurm job has one figure for both."""
        return self.limits.get(name, self.requests.get(name))


class SecurityContext(Wire):
    run_as_user: int | None = None


class Port(Wire):
    """A port that probes and hooks may name."""

    name: str = ""
    container_port: int


class Container(Wire):
    name: Name
    image: str = ""
    image_pull_policy: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    resources: Resources = Resources()
    volume_mounts: tuple[VolumeMount, ...] = ()
    restart_policy: Literal["", "Always", "OnFailure", "Never"] = ""
    restart_policy_rules: tuple[RestartRule, ...] = ()
    ports: tuple[Port, ...] = ()
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    lifecycle: Lifecycle = Lifecycle()
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: Literal["File", "FallbackToLogsOnError"] = "File"
    security_context: SecurityContext = SecurityContext()


class KeyToPath(Wire):
    key: str
    path: str
    mode: int | None = None


class ConfigMapVolume(Wire):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretVolume(Wire):
    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class DownwardItem(Wire):
    """One file of a downwardAPI volume."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    mode: int | None = None


class DownwardSource(Wire):
    items: tuple[DownwardItem, ...] = ()


class DownwardVolume(DownwardSource):
    default_mode: int = 0o644


class NamedSource(Wire):
    """A ConfigMap or a Secret as one source of a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class TokenSource(Wire):
    path: str


class ProjectedSource(Wire):
    """One source of a projected volume; exactly one of these is set, or it is of a kind that is not known here."""

    config_map: NamedSource | None = None
    secret: NamedSource | None = None
    downward_api: DownwardSource | None = Field(default=None, alias="downwardAPI")
    service_account_token: TokenSource | None = None


class ProjectedVolume(Wire):
    default_mode: int = 0o644
    sources: tuple[ProjectedSource, ...] = ()


class EmptyDirVolume(Wire):
    medium: str = ""
    size_limit: str | int | float = ""


class HostPathVolume(Wire):
    path: str
    type: str = ""


class ClaimVolume(Wire):
    """A persistentVolumeClaim."""

    claim_name: Name
    read_only: bool = False


class Volume(Wire):
    """One of a pod's volumes: exactly one of the sources is set, or none that is known here; `kind` names it."""

    name: Name
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    projected: ProjectedVolume | None = None
    empty_dir: EmptyDirVolume | None = None
    host_path: HostPathVolume | None = None
    downward_api: DownwardVolume | None = Field(default=None, alias="downwardAPI")
    persistent_volume_claim: ClaimVolume | None = None
    kind: str = ""

    @model_validator(mode="before")
    @classmethod
    def _name_the_source(cls, data: Any) -> Any:
        if isinstance(data, dict):
            sources = [key for key, value in data.items() if key != "name" and value is not None]
            return data | {"kind": sources[0] if sources else "emptyDir"}
        return data


class NamedReference(Wire):
    """A reference to something in the pod's own namespace."""

    name: str = ""


class PodSpec(Wire):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    image_pull_secrets: tuple[NamedReference, ...] = ()
    service_account_name: str = "default"
    node_name: str = ""
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: GraceSeconds = 30
    active_deadline_seconds: int | None = Field(default=None, ge=1)
    security_context: SecurityContext = SecurityContext()
    resources: Resources = Resources()
    overhead: dict[str, str | int | float] = {}

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers, native sidecars among them, and then the others."""
        return (*self.init_containers, *self.containers)

    @property
    def mounted(self) -> frozenset[str]:
        """The names of the volumes that a container mounts."""
        return frozenset(mount.name for container in self.all_containers for mount in container.volume_mounts)


class Pod(Wire):
    metadata: Metadata
    spec: PodSpec = PodSpec()

    @property
    def key(self) -> str:
        """The pod's name at the site, of its folder and its records: `<namespace>-<uid>`."""
        return f"{self.metadata.namespace}-{self.metadata.uid}"

    @property
    def full_name(self) -> str:
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def grace_period_seconds(self) -> int:
        """How long it has to end in, once it is deleted."""
        given = self.metadata.deletion_grace_period_seconds
        return self.spec.termination_grace_period_seconds if given is None else given


class ObjectMeta(Wire):
    name: str = ""


class ConfigMap(Wire):
    """A ConfigMap or a projected volume as it arrives: `content` has the bytes of every key."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = Field(default={}, repr=False)
    binary_data: dict[str, str] = Field(default={}, repr=False)

    def content(self) -> dict[str, bytes]:
        """Key -> bytes. Raises Rejected where binaryData is not base64."""
        text = {key: value.encode() for key, value in self.data.items()}
        return text | _decode(f"binaryData of ConfigMap '{self.metadata.name}'", self.binary_data)


class Secret(Wire):
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = Field(default={}, repr=False)
    string_data: dict[str, str] = Field(default={}, repr=False)

    def content(self) -> dict[str, bytes]:
        """Key -> bytes. Raises Rejected where the data is not base64."""
        text = {key: value.encode() for key, value in self.string_data.items()}
        return _decode(f"data of Secret '{self.metadata.name}'", self.data) | text


def _decode(what: str, data: dict[str, str]) -> dict[str, bytes]:
    try:
        return {key: base64.b64decode(value, validate=True) for key, value in data.items()}
    except ValueError as error:
        raise Rejected(f"the {what} is not base64: {error}") from error


class ContainerData(Wire):
    """What the Virtual Kubelet fetched for one container."""

    name: str = ""
    config_maps: tuple[ConfigMap, ...] = ()
    projected_volume_maps: tuple[ConfigMap, ...] = Field(default=(), alias="projectedvolumemaps")
    secrets: tuple[Secret, ...] = ()


class CreateRequest(Wire):
    """`pull_secrets` are those of the pod's imagePullSecrets that the sidecar knows itself.

    `storage_classes` are those of its claims that Kubernetes was asked for, by the claim; empty is none.
    """

    pod: Pod
    container: tuple[ContainerData, ...] = ()
    job_script: str = ""
    pull_secrets: tuple[Secret, ...] = ()
    storage_classes: dict[str, str] = {}
    unheeded: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: object) -> Self:
        """The body of `POST /create`: an object (interLink 0.5 and later) or a list that holds one (0.4).

        Raises Rejected with a sentence that names the field.
        """
        if isinstance(body, list):
            if len(body) != 1:
                raise Rejected(f"create takes one pod, and the list holds {len(body)}")
            body = body[0]
        request = _validated(cls, body, "create")
        if not request.pod.spec.containers:
            raise Rejected(f"pod {request.pod.full_name} has no containers: a pod needs at least one")
        raw = body["pod"] if isinstance(body, dict) else {}
        if impossible := refused(raw):
            raise Rejected(f"pod {request.pod.full_name}: {'; '.join(impossible)}")
        return request.model_copy(update={"unheeded": unheeded(raw)})


def parse_pod(body: object, what: str) -> Pod:
    """One `v1.Pod`; `what` names the request in the sentence of Rejected."""
    return _validated(Pod, body, what)


def parse_pods(body: object) -> list[Pod]:
    """The list of `GET /status`; null is an empty one. Raises Rejected."""
    if body is None:
        return []
    if not isinstance(body, list):
        raise Rejected("status takes a list of pods")
    return [parse_pod(item, "status") for item in body]


def _validated(model: type[_Model], body: object, what: str) -> _Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Rejected(f"the body of {what} cannot be read: {first_problem(error)}") from None


# pydantic's kinds of errors in JSON's words
_IN_WORDS = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "missing": "is missing",
    "model_type": "must be an object",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
}


def first_problem(error: ValidationError) -> str:
    """Where and what, without the value: it may be somebody's secret."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "it"
    what = _IN_WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where} {what}{more}"
