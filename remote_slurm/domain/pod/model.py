"""interLink's JSON -> Pod: only the fields that are used, with Go's `null` read as absent.

The shapes are those of `v1.Pod` (Kubernetes API reference) and of interLink's `RetrievedPodData`.
"""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from remote_slurm.domain.pod.field_support import ignored_fields, refused
from remote_slurm.domain.pod.folder_name import join_key
from remote_slurm.domain.pod.json_model import Amount, Boolean, Integer, JsonModel
from remote_slurm.domain.pod.lifecycle import LARGEST, Lifecycle, PortNumber, Probe, RestartRule
from remote_slurm.domain.pod.limits import check_counts, check_shape
from remote_slurm.errors import InvalidBody, InvalidRequest

# Both become parts of paths and of file names at the site. Kubernetes allows less (RFC 1123 labels and UUIDs).
_COMPONENT = 128
_SAFE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def _normalized(path: str) -> str:
    """An absolute path without `.` and `..`: what is before a `..` need not exist."""
    return f"/{posixpath.normpath(path).lstrip('/')}" if path.startswith("/") else path


# RFC 1123
_LABEL = 63


def _safe_name(value: object) -> object:
    if not isinstance(value, str) or not _SAFE_NAME.fullmatch(value) or ".." in value:
        given = f", not {value[:_LABEL]!r}" if isinstance(value, str) else ""
        raise ValueError(f"must be letters, digits, '-' and '.', and start and end with a letter or digit{given}")
    return value


def _safe_component(value: object) -> object:
    name = str(_safe_name(value))
    if len(name) > _COMPONENT:
        raise ValueError(f"must have at most {_COMPONENT} characters, and has {len(name)}")
    return name


Name = Annotated[str, BeforeValidator(_safe_name)]
# Of a container or a volume, or a UID: with what is added to it, it is one component of a path
Component = Annotated[str, BeforeValidator(_safe_component)]
Namespace = Annotated[str, BeforeValidator(_safe_name), Field(max_length=63)]


# Kubernetes takes negative ones for 1 (TerminationGracePeriodSeconds in its core/v1 types); shells add to it
GraceSeconds = Annotated[Integer, AfterValidator(lambda seconds: min(seconds, LARGEST) if seconds >= 0 else 1)]
# IsValidUserID of Kubernetes' validation
UserId = Annotated[Integer, Field(ge=0, le=LARGEST)]
Mode = Annotated[Integer, Field(ge=0, le=0o777)]

_Model = TypeVar("_Model", bound=JsonModel)


class Metadata(JsonModel):
    name: Name
    namespace: Namespace = "default"
    uid: Component
    annotations: dict[str, str] = {}
    labels: dict[str, str] = {}
    deletion_grace_period_seconds: GraceSeconds | None = None

    @model_validator(mode="after")
    def _names_no_other_pod(self) -> Self:
        join_key(self.namespace, self.uid)
        return self


class FieldRef(JsonModel):
    field_path: str


class ResourceFieldRef(JsonModel):
    resource: str
    container_name: str = ""
    divisor: Amount = "1"


class KeyRef(JsonModel):
    """A key of a ConfigMap or a Secret."""

    name: str = ""
    key: str = ""
    optional: Boolean = False


class ValueFrom(JsonModel):
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None


class EnvVar(JsonModel):
    name: str
    value: str = ""
    value_from: ValueFrom | None = None


class VolumeMount(JsonModel):
    name: str
    mount_path: str
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: Boolean = False


class Resources(JsonModel):
    limits: dict[str, Amount] = {}
    requests: dict[str, Amount] = {}


class SecurityContext(JsonModel):
    """Of a container, or of a pod; only a pod's has an fsGroup, and only a container's a readOnlyRootFilesystem."""

    run_as_user: UserId | None = None
    run_as_group: UserId | None = None
    fs_group: UserId | None = None
    read_only_root_filesystem: Boolean = False


class Port(JsonModel):
    """A port that probes, hooks and port forwards may name."""

    name: str = ""
    container_port: PortNumber
    protocol: str = "TCP"


class Container(JsonModel):
    name: Component
    image: str = ""
    image_pull_policy: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: Annotated[str, AfterValidator(_normalized)] = ""
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


class KeyToPath(JsonModel):
    key: str
    path: str
    mode: Mode | None = None


class ConfigMapVolume(JsonModel):
    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: Mode = 0o644
    optional: Boolean = False


class SecretVolume(JsonModel):
    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: Mode = 0o644
    optional: Boolean = False


class DownwardItem(JsonModel):
    """One file of a downwardAPI volume."""

    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    mode: Mode | None = None


class DownwardSource(JsonModel):
    items: tuple[DownwardItem, ...] = ()


class DownwardVolume(DownwardSource):
    default_mode: Mode = 0o644


class NamedSource(JsonModel):
    """A ConfigMap or a Secret as one source of a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: Boolean = False


class TokenSource(JsonModel):
    path: str


class ProjectedSource(JsonModel):
    """One source of a projected volume; exactly one of these is set, or it is of a kind that is not known here."""

    config_map: NamedSource | None = None
    secret: NamedSource | None = None
    downward_api: DownwardSource | None = Field(default=None, alias="downwardAPI")
    service_account_token: TokenSource | None = None


class ProjectedVolume(JsonModel):
    default_mode: Mode = 0o644
    sources: tuple[ProjectedSource, ...] = ()


class EmptyDirVolume(JsonModel):
    medium: str = ""
    size_limit: Amount = ""


class HostPathVolume(JsonModel):
    path: str
    type: str = ""


class ClaimVolume(JsonModel):
    """A persistentVolumeClaim."""

    claim_name: Name
    read_only: Boolean = False


class Volume(JsonModel):
    """One of a pod's volumes: exactly one of the sources is set, or none that is known here; `kind` names it."""

    name: Component
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


class NamedReference(JsonModel):
    """A reference to something in the pod's own namespace."""

    name: str = ""


class HostAlias(JsonModel):
    """A line of /etc/hosts."""

    ip: str = ""
    hostnames: tuple[str, ...] = ()


class PodSpec(JsonModel):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    image_pull_secrets: tuple[NamedReference, ...] = ()
    service_account_name: str = "default"
    node_name: str = ""
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    termination_grace_period_seconds: GraceSeconds = 30
    active_deadline_seconds: Integer | None = Field(default=None, ge=1, le=LARGEST)
    security_context: SecurityContext = SecurityContext()
    resources: Resources = Resources()
    overhead: dict[str, Amount] = {}
    hostname: str = ""
    hostname_override: str = ""
    host_aliases: tuple[HostAlias, ...] = ()

    @property
    def all_containers(self) -> tuple[Container, ...]:
        """Init containers, native sidecars among them, and then the others."""
        return (*self.init_containers, *self.containers)

    @property
    def mounted(self) -> frozenset[str]:
        """The names of the volumes that a container mounts."""
        return frozenset(mount.name for container in self.all_containers for mount in container.volume_mounts)


class Pod(JsonModel):
    metadata: Metadata
    spec: PodSpec = PodSpec()

    @property
    def key(self) -> str:
        """The pod's name at the site, of its folder and its records: `<namespace>-<uid>`."""
        return join_key(self.metadata.namespace, self.metadata.uid)

    @property
    def hostname(self) -> str:
        """As a kubelet sets it: the pod's name, cut to the 63 characters of a label, unless its spec has another."""
        spec = self.spec
        return spec.hostname_override or spec.hostname or self.metadata.name[:_LABEL].rstrip("-.")

    @property
    def full_name(self) -> str:
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def grace_period_seconds(self) -> int:
        """How long it has to end in, once it is deleted."""
        given = self.metadata.deletion_grace_period_seconds
        return self.spec.termination_grace_period_seconds if given is None else given


class ObjectMeta(JsonModel):
    name: str = ""


class ConfigMap(JsonModel):
    """A ConfigMap or a projected volume as it arrives: `content` has the bytes of every key."""

    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = Field(default={}, repr=False)
    binary_data: dict[str, str] = Field(default={}, repr=False)

    def content(self) -> dict[str, bytes]:
        """Key -> bytes. Raises InvalidRequest where binaryData is not base64."""
        return self.decoded

    @cached_property
    def decoded(self) -> dict[str, bytes]:
        """See `content`. It is made once: many volumes may show the same data."""
        text = {key: value.encode() for key, value in self.data.items()}
        return text | _decode(f"binaryData of ConfigMap '{self.metadata.name}'", self.binary_data)


class Secret(JsonModel):
    metadata: ObjectMeta = ObjectMeta()
    data: dict[str, str] = Field(default={}, repr=False)
    string_data: dict[str, str] = Field(default={}, repr=False)

    def content(self) -> dict[str, bytes]:
        """Key -> bytes. Raises InvalidRequest where the data is not base64."""
        return self.decoded

    @cached_property
    def decoded(self) -> dict[str, bytes]:
        """See `content`. It is made once: many volumes may show the same data."""
        text = {key: value.encode() for key, value in self.string_data.items()}
        return _decode(f"data of Secret '{self.metadata.name}'", self.data) | text


def _decode(what: str, data: dict[str, str]) -> dict[str, bytes]:
    try:
        return {key: base64.b64decode(value, validate=True) for key, value in data.items()}
    except ValueError as error:
        raise InvalidRequest(f"the {what} is not base64: {error}") from error


_Sent = TypeVar("_Sent", ConfigMap, Secret)


class ContainerData(JsonModel):
    """What the Virtual Kubelet fetched for one container."""

    name: str = ""
    config_maps: tuple[ConfigMap, ...] = ()
    projected_volume_maps: tuple[ConfigMap, ...] = Field(default=(), alias="projectedvolumemaps")
    secrets: tuple[Secret, ...] = ()


# What interLink sends of a CreateRequest; the other fields are the sidecar's own
_KEYS = ("pod", "container", "jobScript")


class CreateRequest(JsonModel):
    """`pull_secrets` are those of the pod's imagePullSecrets that the sidecar knows itself.

    `size` is the size of the request in bytes, by which the service estimates how long planning its job takes.
    `storage_classes` are those of its claims that Kubernetes was asked for, by the claim; empty is none.
    """

    pod: Pod
    container: tuple[ContainerData, ...] = ()
    job_script: str = ""
    pull_secrets: tuple[Secret, ...] = ()
    storage_classes: dict[str, str] = {}
    ignored_fields: tuple[str, ...] = ()
    size: int = 0

    @cached_property
    def config_maps(self) -> dict[str, ConfigMap]:
        """The ConfigMaps of all containers by their names; the first one if several have one name."""
        return _by_name(each for data in self.container for each in data.config_maps)

    @cached_property
    def secrets(self) -> dict[str, Secret]:
        """The Secrets of all containers by their names."""
        return _by_name(each for data in self.container for each in data.secrets)

    @cached_property
    def projected_volume_maps(self) -> dict[str, ConfigMap]:
        """By the names of the volumes, what came of projected and downwardAPI volumes."""
        return _by_name(each for data in self.container for each in data.projected_volume_maps)

    @classmethod
    def parse(cls, body: object, size: int = 0) -> Self:
        """The body of `POST /create`: an object (interLink 0.5 and later) or a list that holds one (0.4).

        Raises InvalidRequest with a sentence that names the field.
        """
        if isinstance(body, list):
            if len(body) != 1:
                raise InvalidRequest(f"invalid body of create: must be one pod, not {len(body)}")
            body = body[0]
        check_shape(body)
        sent = {key: body[key] for key in _KEYS if key in body} if isinstance(body, dict) else body
        request = _validated(cls, sent, "create")
        spec, annotations = request.pod.spec, request.pod.metadata.annotations
        characters = sum(len(key) + len(value) for key, value in annotations.items())
        check_counts(len(spec.all_containers), len(spec.volumes), len(spec.image_pull_secrets), characters)
        if not request.pod.spec.containers:
            raise InvalidRequest(f"pod {request.pod.full_name} has no containers: a pod needs at least one")
        raw = body["pod"] if isinstance(body, dict) else {}
        if impossible := refused(raw):
            raise InvalidRequest(f"pod {request.pod.full_name}: {'; '.join(impossible)}")
        return request.model_copy(update={"ignored_fields": ignored_fields(raw), "size": size})


def _by_name(sent: Iterable[_Sent]) -> dict[str, _Sent]:
    found: dict[str, _Sent] = {}
    for each in sent:
        found.setdefault(each.metadata.name, each)
    return found


def parse_pod(body: object, what: str) -> Pod:
    """One `v1.Pod`; `what` names the request in the sentence of InvalidRequest."""
    return _validated(Pod, body, what)


def parse_pods(body: object) -> list[Pod]:
    """The list of `GET /status`; null is an empty one. Raises InvalidRequest."""
    if body is None:
        return []
    if not isinstance(body, list):
        raise InvalidRequest("invalid body of status: must be a list of pods")
    return [parse_pod(item, "status") for item in body]


def _validated(model: type[_Model], body: object, what: str) -> _Model:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidBody(what, first_problem(error)) from None


# pydantic's kinds of errors in JSON's words
_IN_WORDS = {
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be an object",
    "float_type": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "missing": "is missing",
    "model_type": "must be an object",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
}


def first_problem(error: ValidationError) -> str:
    """Return the place and the problem without the value, which may be a Secret. Of a wrong type, that is named."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "it"
    words = _IN_WORDS.get(first["type"])
    what = words.format_map(first.get("ctx", {})) if words else first["msg"].removeprefix("Value error, ")
    if first["type"] in _WRONG_TYPES:
        what += _instead(first["input"], is_text=first["type"] == "string_type")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where} {what}{more}"


_WRONG_TYPES = {"dict_type", "model_type", "string_type", "tuple_type"}
_TYPES = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}


def _instead(value: object, *, is_text: bool) -> str:
    """`, not a number: put it in quotation marks`: YAML reads `on`, `3` and `1.10` without them as something else."""
    kind = type(value)
    if kind not in _TYPES:
        return ""
    hint = ": put it in quotation marks" if is_text and kind in {bool, int, float} else ""
    return f", not {_TYPES[kind]}{hint}"
