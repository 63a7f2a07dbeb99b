"""What a pod is, for people who ask the site later: one comment line of job.sh for its labels, and one for its spec.

Both are JSON in ASCII, which has no line breaks. Values of variables are left out, and those of annotations
that may have credentials. Long texts are cut: people read the description, nothing runs by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from remote_slurm.domain.pod.model import Container, Pod, Volume

LABELS, SPEC = "# Labels: ", "# Spec: "

# Kubernetes has no longer keys and values of labels; it has no limit to their number
_KEY, _VALUE, _MOST_LABELS = 317, 63, 100
_LONGEST_TEXT = 200
_MOST_ITEMS = 20
_MOST_BYTES = 16384
# The others may have credentials, as in options of the runtime: Slurm archives job.sh, and `render` prints it
_SHOWN_ANNOTATIONS = tuple(
    f"{prefix}{name}"
    for prefix in ("slurm-job.vk.io/", "slurm-job.knoc.io/")
    for name in ("flags", "flavor", "image-root", "job-workdir", "mpi-flags")
)


def description_lines(pod: Pod) -> tuple[str, ...]:
    """Return the comment lines. A pod without labels has no line for them."""
    labels = {key: value for key, value in pod.metadata.labels.items() if len(key) <= _KEY and len(value) <= _VALUE}
    first = (f"{LABELS}{_json(dict(list(labels.items())[:_MOST_LABELS]))}",) if labels else ()
    return (*first, f"{SPEC}{_json(_cut(described(pod)))}")


def described(pod: Pod) -> dict[str, Any]:
    """Return the description of a pod, with Kubernetes' names of its fields. What is empty is left out."""
    spec = pod.spec
    return _filled(
        annotations={
            name: value if name in _SHOWN_ANNOTATIONS else None for name, value in pod.metadata.annotations.items()
        },
        restartPolicy=spec.restart_policy,
        terminationGracePeriodSeconds=spec.termination_grace_period_seconds,
        activeDeadlineSeconds=spec.active_deadline_seconds,
        serviceAccountName="" if spec.service_account_name == "default" else spec.service_account_name,
        initContainers=[_container(each) for each in spec.init_containers],
        containers=[_container(each) for each in spec.containers],
        volumes=[_volume(each) for each in spec.volumes],
    )


def container_names(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the containers in a description; none if some may have been cut off, or it was changed."""
    listed = [each for kind in ("initContainers", "containers") for each in spec.get(kind) or ()]
    names = tuple(str(each["name"]) for each in listed if isinstance(each, dict) and "name" in each)
    return names if len(names) == len(listed) < _MOST_ITEMS else ()


def _container(container: Container) -> dict[str, Any]:
    resources = container.resources
    return _filled(
        name=container.name,
        image=container.image,
        command=list(container.command),
        args=list(container.args),
        workingDir=container.working_dir,
        ports=[
            _filled(name=each.name, containerPort=each.container_port, protocol=each.protocol)
            for each in container.ports
        ],
        limits=dict(resources.limits),
        requests=dict(resources.requests),
        env=[each.name for each in container.env],
        mounts=[
            _filled(name=each.name, mountPath=each.mount_path, readOnly=each.read_only)
            for each in container.volume_mounts
        ],
        probes=list(_probes(container)),
    )


def _probes(container: Container) -> Iterator[str]:
    if container.startup_probe:
        yield "startup"
    if container.readiness_probe:
        yield "readiness"
    if container.liveness_probe:
        yield "liveness"


def _volume(volume: Volume) -> dict[str, Any]:
    source = (
        (volume.config_map and volume.config_map.name)
        or (volume.secret and volume.secret.secret_name)
        or (volume.host_path and volume.host_path.path)
        or (volume.persistent_volume_claim and volume.persistent_volume_claim.claim_name)
    )
    return _filled(name=volume.name, kind=volume.kind, source=source)


def _filled(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [], {}, False)}


def _cut(value: Any) -> Any:
    """Cut long texts and lists; if there are many of them, leave out what is below containers and volumes."""
    short = _shortened(value)
    if len(_json(short)) <= _MOST_BYTES:
        return short
    names = {key: [{"name": each["name"]} for each in short.get(key, [])] for key in ("initContainers", "containers")}
    return {key: each for key, each in names.items() if each}


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]}…"
    if isinstance(value, list):
        more = (
            [f"and {len(value) - _MOST_ITEMS} more"] if len(value) > _MOST_ITEMS and isinstance(value[0], str) else []
        )
        return [*map(_shortened, value[:_MOST_ITEMS]), *more]
    if isinstance(value, dict):
        return {_shortened(key): _shortened(each) for key, each in list(value.items())[: 2 * _MOST_ITEMS]}
    return value


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
