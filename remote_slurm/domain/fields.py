"""What becomes of each field of a pod: one table for the documentation, and for the warnings of pods that use it.

The fields are those of v1.PodSpec and v1.Container (Kubernetes API reference, 1.35). A field that has an effect in
Kubernetes and none here is named in a warning when a pod sets it to something that would matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any


class How(Enum):
    """What is done with a field."""

    CARRIED_OUT = "carried out"
    APPROXIMATED = "approximated"
    REFUSED = "refused"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Field:
    """One field; `note` says how or why, `test` where it is shown.

    `harmless` are the values that lose nothing where the field is not heeded, beside those that are empty or false;
    None stands for every value. Of an object, `heeded` are the keys that have an effect, or say what is so in any case.
    """

    name: str
    how: How
    note: str
    test: str = ""
    harmless: tuple[Any, ...] | None = None
    heeded: tuple[str, ...] = ()


_DONE, _ALMOST, _NO, _MOOT = How.CARRIED_OUT, How.APPROXIMATED, How.REFUSED, How.IGNORED
_KUBERNETES = "Kubernetes has acted on it before the pod comes here"
_NODE = "it belongs to a node that Kubernetes runs; Slurm chooses nodes by flags"
_NETWORK = "the job has the node's network, and Slurm no cluster network"
_PRIVILEGE = "the job has the rights of its account, and no others"
_RUN_AS_USER = f"runAsUser may be the account's own user id; {_PRIVILEGE}"
_SAFE = ("runAsUser", "runAsNonRoot")

POD_SPEC = (
    Field(
        "activeDeadlineSeconds",
        _DONE,
        "by the runner, counted from the job's start; --time is the same in full minutes, with room for a preStop",
        "integration/test_annotations.py::test_a_deadline_is_kept_to_the_second",
    ),
    Field("affinity", _MOOT, _KUBERNETES),
    Field("automountServiceAccountToken", _MOOT, _KUBERNETES),
    Field(
        "containers",
        _DONE,
        "side by side in one job",
        "integration/test_containers.py::test_containers_run_side_by_side",
    ),
    Field("dnsConfig", _MOOT, _NETWORK, harmless=()),
    Field("dnsPolicy", _MOOT, _NETWORK),
    Field("enableServiceLinks", _MOOT, _KUBERNETES),
    Field("ephemeralContainers", _MOOT, "a job cannot be changed once it is submitted", harmless=()),
    Field("evictionResponders", _MOOT, _KUBERNETES),
    Field("hostAliases", _MOOT, "a container sees the node's /etc/hosts", harmless=()),
    Field("hostIPC", _MOOT, "containers have an IPC namespace of their own", harmless=()),
    Field("hostNetwork", _ALMOST, _NETWORK),
    Field("hostPID", _MOOT, "containers have a PID namespace of their own", harmless=()),
    Field("hostUsers", _MOOT, _PRIVILEGE),
    Field("hostname", _MOOT, "a container has the node's host name", harmless=()),
    Field("hostnameOverride", _MOOT, "a container has the node's host name", harmless=()),
    Field(
        "imagePullSecrets",
        _ALMOST,
        "the Virtual Kubelet does not send them: CUSTOMKUBECONF fetches them, or ImagePullSecrets names their files; "
        "with SHARED_FS: false only if SecretsInScript is true",
        "integration/test_images.py::test_a_private_image_needs_a_login_which_stands_in_no_argument",
    ),
    Field(
        "initContainers",
        _DONE,
        "in order, and the first failure ends the pod",
        "integration/test_containers.py::test_init_containers_run_one_after_another_before_the_others",
    ),
    Field("nodeName", _MOOT, "it is the virtual node"),
    Field("nodeSelector", _MOOT, _KUBERNETES),
    Field("os", _MOOT, "Linux", harmless=({"name": "linux"},)),
    Field("overhead", _ALMOST, "the job asks for it, and all of it may be used"),
    Field("preemptionPolicy", _MOOT, _KUBERNETES),
    Field("priority", _MOOT, "Slurm's priorities are set by flags (--qos, --nice)"),
    Field("priorityClassName", _MOOT, "Slurm's priorities are set by flags (--qos, --nice)"),
    Field("readinessGates", _MOOT, _KUBERNETES),
    Field("resourceClaims", _NO, "a device plugin's claim has no counterpart in Slurm", harmless=()),
    Field("resources", _ALMOST, "the job gets them, in place of the sum over its containers"),
    Field(
        "restartPolicy",
        _DONE,
        "inside the job, with a kubelet's back-off",
        "integration/test_restart_policy.py::test_a_container_that_fails_is_started_again_until_it_succeeds",
    ),
    Field("runtimeClassName", _MOOT, "ContainerRuntime is the site's", harmless=()),
    Field("schedulerName", _MOOT, _KUBERNETES),
    Field("schedulingGates", _MOOT, _KUBERNETES),
    Field("schedulingGroup", _MOOT, _KUBERNETES),
    Field("securityContext", _ALMOST, _RUN_AS_USER, harmless=(), heeded=_SAFE),
    Field("serviceAccount", _MOOT, _KUBERNETES),
    Field("serviceAccountName", _ALMOST, "its token travels as a projected volume"),
    Field("setHostnameAsFQDN", _MOOT, "a container has the node's host name", harmless=()),
    Field("shareProcessNamespace", _MOOT, "each container has a PID namespace of its own", harmless=()),
    Field("subdomain", _MOOT, _NETWORK, harmless=()),
    Field(
        "terminationGracePeriodSeconds",
        _DONE,
        "the runner passes SIGTERM on and waits as long before it kills; a delete may have its own",
        "integration/test_deletes.py::test_a_container_that_ignores_sigterm_is_killed_after_its_grace_period",
    ),
    Field("tolerations", _MOOT, _KUBERNETES),
    Field("topologySpreadConstraints", _MOOT, _KUBERNETES),
    Field(
        "volumes",
        _DONE,
        "by kind, as in the table of volumes; with SHARED_FS: false in the batch script, Secrets only if allowed",
        "integration/test_volumes.py::test_the_payload_with_every_kind_of_volume",
    ),
)

CONTAINER = (
    Field(
        "args",
        _DONE,
        "of the image's own entry point where there is no command (`run`)",
        "integration/test_containers.py::test_the_image_says_what_runs_where_the_pod_does_not",
    ),
    Field(
        "command",
        _DONE,
        "with `exec`",
        "integration/test_containers.py::test_words_of_commands_arrive_byte_for_byte",
    ),
    Field(
        "env",
        _DONE,
        "byte for byte, with names of any kind; with SHARED_FS: false they stand in the batch script",
        "integration/test_containers.py::test_the_values_of_variables_arrive_byte_for_byte",
    ),
    Field("envFrom", _ALMOST, "the Virtual Kubelet resolves it before the pod comes here"),
    Field(
        "image",
        _DONE,
        "a path at the site, or anything that the runtime can pull",
        "integration/test_annotations.py::test_an_absolute_path_is_the_image",
    ),
    Field(
        "imagePullPolicy",
        _DONE,
        "of the cache at the site, which all pods share",
        "integration/test_images.py::test_the_policy_decides_whether_the_registry_is_asked_again",
    ),
    Field(
        "lifecycle",
        _DONE,
        "postStart, preStop and stopSignal",
        "integration/test_hooks.py::test_pre_stop_comes_before_the_signal_when_a_pod_is_deleted",
    ),
    Field(
        "livenessProbe",
        _DONE,
        "if EnableProbes is true",
        "integration/test_probes.py::test_a_liveness_probe_that_fails_restarts_the_container_after_its_pre_stop",
    ),
    Field(
        "name",
        _DONE,
        "of the log and of the record",
        "integration/test_hello.py::test_a_pod_runs_from_create_to_delete",
    ),
    Field("ports", _MOOT, _NETWORK),
    Field(
        "readinessProbe",
        _DONE,
        "if EnableProbes is true; a container that is not ready is Waiting",
        "integration/test_probes.py::test_a_container_waits_until_its_readiness_probe_succeeds_and_again_when_it_fails",
    ),
    Field("resizePolicy", _MOOT, "a job's resources do not change while it runs"),
    Field(
        "resources",
        _DONE,
        "become the job's CPUs, memory and generic resources, summed over the containers",
        "integration/test_resources.py::test_slurm_has_understood",
    ),
    Field(
        "restartPolicy",
        _DONE,
        "Always makes an init container a native sidecar",
        "integration/test_sidecars.py::test_a_native_sidecar_starts_in_its_place_and_ends_after_the_last_container",
    ),
    Field("restartPolicyRules", _ALMOST, "the action Restart, by exit codes; others are refused"),
    Field("securityContext", _ALMOST, _RUN_AS_USER, harmless=(), heeded=_SAFE),
    Field(
        "startupProbe",
        _DONE,
        "if EnableProbes is true",
        "integration/test_probes.py::test_a_startup_probe_gives_time_and_then_ends_the_container",
    ),
    Field("stdin", _MOOT, "nobody can attach to a batch job; its standard input is empty", harmless=()),
    Field("stdinOnce", _MOOT, "nobody can attach to a batch job", harmless=()),
    Field(
        "terminationMessagePath",
        _DONE,
        "below /dev only if the image has `ln`",
        "integration/test_messages.py::test_the_path_need_not_be_in_the_image",
    ),
    Field(
        "terminationMessagePolicy",
        _DONE,
        "with a kubelet's limits; with SHARED_FS: false cut to what the job's comment holds",
        "integration/test_messages.py::test_the_message_is_what_the_container_wrote_to_its_path",
    ),
    Field("tty", _MOOT, "nobody can attach to a batch job", harmless=()),
    Field("volumeDevices", _NO, "a raw block device has no counterpart", harmless=()),
    Field(
        "volumeMounts",
        _DONE,
        "as binds; with readOnly, subPath and subPathExpr",
        "integration/test_volume_kinds.py::test_parts_of_volumes",
    ),
    Field(
        "workingDir",
        _DONE,
        "without it, the container's home; one that the image lacks is not made, and the runtime says so in the log",
        "integration/test_containers.py::test_a_working_directory",
    ),
)


def unheeded(pod: Any) -> tuple[str, ...]:
    """A sentence for each field that `pod` (a v1.Pod as JSON) sets, and that has no effect here."""
    return tuple(f"{name} has no effect: {note}" for name, note in _set(pod, (How.IGNORED, How.APPROXIMATED)))


def refused(pod: Any) -> tuple[str, ...]:
    """A sentence for each field that `pod` sets, and without which it cannot do what it is for."""
    return tuple(f"{name} cannot be carried out: {note}" for name, note in _set(pod, (How.REFUSED,)))


def _set(pod: Any, how: tuple[How, ...]) -> Iterator[tuple[str, str]]:
    spec = pod.get("spec") if isinstance(pod, dict) else None
    if not isinstance(spec, dict):
        return
    for name, note in _meant(spec, POD_SPEC, how):
        yield f"the pod's {name}", note
    for kind in ("initContainers", "containers"):
        for container in _objects(spec.get(kind)):
            for name, note in _meant(container, CONTAINER, how):
                yield f"{name} of container '{container.get('name')}'", note


def _meant(values: dict[str, Any], table: Iterable[Field], how: tuple[How, ...]) -> Iterator[tuple[str, str]]:
    """The fields that are set to something that would matter, and why it does not."""
    for field in table:
        if field.how in how and field.harmless is not None:
            value = values.get(field.name)
            if field.heeded and isinstance(value, dict):
                yield from ((f"{field.name}.{key}", field.note) for key in _unheeded_keys(field, value))
            elif not _is_empty(value) and value not in field.harmless:
                yield field.name, field.note


def _unheeded_keys(field: Field, value: dict[str, Any]) -> list[str]:
    return [key for key in value if key not in field.heeded and not _is_empty(value[key])]


def _is_empty(value: Any) -> bool:
    """Also a mapping that says nothing, such as the `securityContext: {}` of every pod."""
    return not value or (isinstance(value, dict) and all(_is_empty(each) for each in value.values()))


def _objects(values: Any) -> list[dict[str, Any]]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
