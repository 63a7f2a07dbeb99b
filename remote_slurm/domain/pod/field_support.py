"""Which fields of a pod are supported: one table for the documentation, and for the warnings of pods that use it.

The fields are those of v1.PodSpec and v1.Container (Kubernetes API reference, 1.35). A field that has an effect in
Kubernetes and none here is named in a warning when a pod sets it to something that would matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class How(Enum):
    """Whether a field is supported, as docs/pod-fields.md prints it."""

    SUPPORTED = "supported"
    APPROXIMATED = "approximated"
    REJECTED = "rejected"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `note` is how or why; `test` is the test that covers it.

    `harmless` are the values that have no effect on a pod, in addition to empty and false ones; None means every value.
    `honored` are the keys of an object that have an effect, or only confirm the default.
    """

    name: str
    how: How
    note: str
    test: str = ""
    harmless: tuple[Any, ...] | None = None
    honored: tuple[str, ...] = ()


_SUPPORTED, _APPROXIMATED, _REJECTED, _IGNORED = How.SUPPORTED, How.APPROXIMATED, How.REJECTED, How.IGNORED
_KUBERNETES = "Kubernetes applies it before interLink gets the pod"
_NODE = "it belongs to a node that Kubernetes runs; Slurm chooses nodes by flags"
_NETWORK = "the job uses the network of its node; Slurm has no cluster network"
_PRIVILEGE = "the job has only the rights of its account"
_RUN_AS_USER = (
    "runAsUser must be the account's user id; other user ids and fsGroup are rejected, or ignored with a warning "
    f"(RunAsUser); {_PRIVILEGE}"
)
_HOST_NAME = (
    "default: the name of the pod; with Enroot, ContainerRuntime: none and mpi-flags it is only in the variable "
    "HOSTNAME, and programs see the host name of the node"
)
_SAFE = ("runAsUser", "runAsNonRoot", "fsGroup", "fsGroupChangePolicy")

POD_SPEC = (
    Field(
        "activeDeadlineSeconds",
        _SUPPORTED,
        "by the runner, from the start of the job; --time is the same, rounded up to minutes, plus time for a preStop",
        "integration/test_annotations.py::test_a_deadline_is_kept_to_the_second",
    ),
    Field("affinity", _IGNORED, _KUBERNETES),
    Field("automountServiceAccountToken", _IGNORED, _KUBERNETES),
    Field(
        "containers",
        _SUPPORTED,
        "side by side in one job",
        "integration/test_containers.py::test_containers_run_side_by_side",
    ),
    Field("dnsConfig", _IGNORED, _NETWORK, harmless=()),
    Field("dnsPolicy", _IGNORED, _NETWORK),
    Field("enableServiceLinks", _IGNORED, _KUBERNETES),
    Field("ephemeralContainers", _IGNORED, "a submitted job cannot be changed", harmless=()),
    Field("evictionResponders", _IGNORED, _KUBERNETES),
    Field(
        "hostAliases",
        _SUPPORTED,
        "in /etc/hosts, after the entries of the node; not with ContainerRuntime: none",
        "integration/test_inside_containers.py::test_the_host_name_is_the_pods_and_host_aliases_are_known",
    ),
    Field("hostIPC", _IGNORED, "the containers of a pod share an IPC namespace", harmless=()),
    Field("hostNetwork", _APPROXIMATED, _NETWORK),
    Field("hostPID", _IGNORED, "each container has its own PID namespace", harmless=()),
    Field("hostUsers", _IGNORED, _PRIVILEGE),
    Field(
        "hostname",
        _SUPPORTED,
        _HOST_NAME,
        "integration/test_inside_containers.py::test_the_host_name_is_the_pods_and_host_aliases_are_known",
    ),
    Field(
        "hostnameOverride", _SUPPORTED, "in place of hostname", "domain/test_hosts.py::test_the_host_name_is_a_kubelets"
    ),
    Field(
        "imagePullSecrets",
        _APPROXIMATED,
        "the Virtual Kubelet does not send them: the sidecar fetches them with CUSTOMKUBECONF, or reads the files in "
        "ImagePullSecrets; with SHARED_FS: false only if SecretsInScript is true",
        "integration/test_images.py::test_a_private_image_needs_a_login_which_is_in_no_argument",
    ),
    Field(
        "initContainers",
        _SUPPORTED,
        "in order; the first failure ends the pod",
        "integration/test_containers.py::test_init_containers_run_one_after_another_before_the_others",
    ),
    Field("nodeName", _IGNORED, "it is the name of the virtual node"),
    Field("nodeSelector", _IGNORED, _KUBERNETES),
    Field("os", _IGNORED, "Linux", harmless=({"name": "linux"},)),
    Field("overhead", _APPROXIMATED, "added to the request of the job; containers can use all of it"),
    Field("preemptionPolicy", _IGNORED, _KUBERNETES),
    Field("priority", _IGNORED, "Slurm priorities are set by flags (--qos, --nice)"),
    Field("priorityClassName", _IGNORED, "Slurm priorities are set by flags (--qos, --nice)"),
    Field("readinessGates", _IGNORED, _KUBERNETES),
    Field("resourceClaims", _REJECTED, "Slurm has no counterpart to claims of device plugins", harmless=()),
    Field("resources", _APPROXIMATED, "the job requests them, in place of the sum over its containers"),
    Field(
        "restartPolicy",
        _SUPPORTED,
        "inside the job, with the back-off of a kubelet",
        "integration/test_restart_policy.py::test_a_container_that_fails_is_started_again_until_it_succeeds",
    ),
    Field("runtimeClassName", _IGNORED, "the configuration sets ContainerRuntime for the site", harmless=()),
    Field("schedulerName", _IGNORED, _KUBERNETES),
    Field("schedulingGates", _IGNORED, _KUBERNETES),
    Field("schedulingGroup", _IGNORED, _KUBERNETES),
    Field("securityContext", _APPROXIMATED, _RUN_AS_USER, harmless=(), honored=_SAFE),
    Field("serviceAccount", _IGNORED, _KUBERNETES),
    Field("serviceAccountName", _APPROXIMATED, "its token is sent as a projected volume"),
    Field("setHostnameAsFQDN", _IGNORED, "the host name has no domain", harmless=()),
    Field("shareProcessNamespace", _IGNORED, "each container has its own PID namespace", harmless=()),
    Field("subdomain", _IGNORED, _NETWORK, harmless=()),
    Field(
        "terminationGracePeriodSeconds",
        _SUPPORTED,
        "the runner sends SIGTERM, and SIGKILL after this time; a delete may set another grace period",
        "integration/test_deletes.py::test_a_container_that_ignores_sigterm_is_killed_in_the_end",
    ),
    Field("tolerations", _IGNORED, _KUBERNETES),
    Field("topologySpreadConstraints", _IGNORED, _KUBERNETES),
    Field(
        "volumes",
        _SUPPORTED,
        "by type, see Volumes; with SHARED_FS: false in the batch script, Secrets only if allowed",
        "integration/test_volumes.py::test_the_payload_with_every_kind_of_volume",
    ),
)

CONTAINER = (
    Field(
        "args",
        _SUPPORTED,
        "without a command, arguments of the image's entry point (`run`)",
        "integration/test_containers.py::test_the_image_says_what_runs_where_the_pod_does_not",
    ),
    Field(
        "command",
        _SUPPORTED,
        "started with `exec`",
        "integration/test_containers.py::test_words_of_commands_arrive_byte_for_byte",
    ),
    Field(
        "env",
        _SUPPORTED,
        "byte for byte; names that are invalid in a shell, such as `db.password`, require perl or python3 on the node, "
        "or in the image with Enroot; with SHARED_FS: false the values are in the batch script",
        "integration/test_containers.py::test_the_values_of_variables_arrive_byte_for_byte",
    ),
    Field("envFrom", _APPROXIMATED, "the Virtual Kubelet resolves it into env"),
    Field(
        "image",
        _SUPPORTED,
        "a path at the site, or an image that the runtime can pull",
        "integration/test_annotations.py::test_an_absolute_path_is_the_image",
    ),
    Field(
        "imagePullPolicy",
        _SUPPORTED,
        "applies to the cache at the site, which all pods share",
        "integration/test_images.py::test_the_policy_decides_whether_the_registry_is_asked_again",
    ),
    Field(
        "lifecycle",
        _SUPPORTED,
        "postStart, preStop and stopSignal",
        "integration/test_hooks.py::test_pre_stop_comes_before_the_signal_when_a_pod_is_deleted",
    ),
    Field(
        "livenessProbe",
        _SUPPORTED,
        "requires EnableProbes: true",
        "integration/test_probes.py::test_a_failed_liveness_probe_restarts_after_pre_stop",
    ),
    Field(
        "name",
        _SUPPORTED,
        "name of the log and of the record",
        "integration/test_hello.py::test_a_pod_runs_from_create_to_delete",
    ),
    Field("ports", _IGNORED, _NETWORK),
    Field(
        "readinessProbe",
        _SUPPORTED,
        "requires EnableProbes: true; a container that is not ready is Waiting",
        "integration/test_probes.py::test_readiness_follows_its_probe_both_ways",
    ),
    Field("resizePolicy", _IGNORED, "the resources of a running job cannot be changed"),
    Field(
        "resources",
        _SUPPORTED,
        "CPUs, memory and generic resources of the job, summed over the containers",
        "integration/test_resources.py::test_slurm_has_understood",
    ),
    Field(
        "restartPolicy",
        _SUPPORTED,
        "an init container with Always is a native sidecar",
        "integration/test_sidecars.py::test_a_native_sidecar_starts_in_its_place_and_ends_last",
    ),
    Field("restartPolicyRules", _APPROXIMATED, "the action Restart, by exit codes; other actions are rejected"),
    Field(
        "securityContext",
        _APPROXIMATED,
        f"{_RUN_AS_USER}. readOnlyRootFilesystem applies to all but volumes and /dev/shm, so that /tmp is not writable "
        "and there is no home directory; mpi-flags keep /tmp. Not with ContainerRuntime: none",
        harmless=(),
        honored=(*_SAFE, "readOnlyRootFilesystem"),
    ),
    Field(
        "startupProbe",
        _SUPPORTED,
        "requires EnableProbes: true",
        "integration/test_probes.py::test_a_startup_probe_gives_time_and_then_ends_the_container",
    ),
    Field(
        "stdin",
        _REJECTED,
        "no client can attach to a batch job, so that a program that reads standard input would end at once; pass the "
        "input in args or in a volume",
        "domain/test_field_support.py::test_a_container_that_reads_its_standard_input_is_refused",
        harmless=(),
    ),
    Field("stdinOnce", _IGNORED, "no client can attach to a batch job", harmless=()),
    Field(
        "terminationMessagePath",
        _SUPPORTED,
        "a path below /dev requires `ln` in the image",
        "integration/test_messages.py::test_the_path_need_not_be_in_the_image",
    ),
    Field(
        "terminationMessagePolicy",
        _SUPPORTED,
        "with the limits of a kubelet; with SHARED_FS: false, shortened to fit into the job's comment",
        "integration/test_messages.py::test_the_message_is_what_the_container_wrote_to_its_path",
    ),
    Field("tty", _IGNORED, "no client can attach to a batch job", harmless=()),
    Field("volumeDevices", _REJECTED, "Slurm has no counterpart to raw block devices", harmless=()),
    Field(
        "volumeMounts",
        _SUPPORTED,
        "bind mounts, with readOnly, subPath and subPathExpr",
        "integration/test_volume_kinds.py::test_parts_of_volumes",
    ),
    Field(
        "workingDir",
        _SUPPORTED,
        "default: that of the image, or the home directory; a missing directory is created",
        "integration/test_containers.py::test_a_working_directory",
    ),
)


_OF_PODS = {field.name: field for field in POD_SPEC}
_OF_CONTAINERS = {field.name: field for field in CONTAINER}


def ignored_fields(pod: Any) -> tuple[str, ...]:
    """A sentence for each field that `pod` (a v1.Pod as JSON) sets, and that has no effect here."""
    return tuple(f"{name} has no effect: {note}" for name, note in _set(pod, (How.IGNORED, How.APPROXIMATED)))


def refused(pod: Any) -> tuple[str, ...]:
    """A sentence for each field that `pod` sets, and without which it cannot do what it is for."""
    return tuple(f"{name} is not supported: {note}" for name, note in _set(pod, (How.REJECTED,)))


def _set(pod: Any, how: tuple[How, ...]) -> Iterator[tuple[str, str]]:
    spec = pod.get("spec") if isinstance(pod, dict) else None
    if not isinstance(spec, dict):
        return
    for name, note in _meant(spec, _OF_PODS, how):
        yield f"the pod's {name}", note
    for kind in ("initContainers", "containers"):
        for container in _objects(spec.get(kind)):
            for name, note in _meant(container, _OF_CONTAINERS, how):
                yield f"{name} of container '{container.get('name')}'", note


def _meant(values: dict[str, Any], fields: Mapping[str, Field], how: tuple[How, ...]) -> Iterator[tuple[str, str]]:
    """The fields that are set to something that would matter, and why it does not."""
    for name, value in values.items():
        field = fields.get(name)
        if field is None or field.how not in how or field.harmless is None:
            continue
        if field.honored and isinstance(value, dict):
            yield from ((f"{name}.{key}", field.note) for key in _ignored_keys(field, value))
        elif not _is_empty(value) and value not in field.harmless:
            yield name, field.note


def _ignored_keys(field: Field, value: dict[str, Any]) -> list[str]:
    return [key for key in value if key not in field.honored and not _is_empty(value[key])]


def _is_empty(value: Any) -> bool:
    """Also true for an empty mapping, such as the `securityContext: {}` of every pod."""
    return not value or (isinstance(value, dict) and all(_is_empty(each) for each in value.values()))


def _objects(values: Any) -> list[dict[str, Any]]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
