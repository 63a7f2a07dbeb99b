"""Pod + what is known of its job and containers -> interLink's PodStatus.

The rules come from what the Virtual Kubelet makes of each answer: every container of the request in spec order, with
exactly one state each, and never a terminal state that is not certain, since it asks no more after one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from remote_slurm.domain.pod.local_containers import local_init_state, local_names, local_state
from remote_slurm.domain.pod.model import Container, Pod
from remote_slurm.domain.pod.resources import names_memory
from remote_slurm.domain.records import ContainerPhase, LastRun, Record
from remote_slurm.domain.status.message_size import cut_message, message_bytes
from remote_slurm.domain.status.pod_summary import ContainerSummary, PodSummary
from remote_slurm.domain.status.times import rfc3339
from remote_slurm.domain.status.view import PodView


def pod_status(pod: Pod, view: PodView) -> dict[str, Any]:
    """The PodStatus of one pod, as JSON."""
    view = replace(
        view,
        names_memory=names_memory(pod),
        container_names=reported_names(pod),
        awaited_sidecar=_awaited_sidecar(pod, view),
    )
    containers, init = _reported(pod)
    summary = PodSummary(view, message_bytes(pod))
    entries = _entries(pod, summary)
    return {
        "name": pod.metadata.name,
        "UID": pod.metadata.uid,
        "namespace": pod.metadata.namespace,
        "JID": view.job_id,
        "nodeName": summary.node,
        "containers": [entries[each.name] for each in containers],
        "initContainers": [entries[each.name] for each in init],
    }


def reported_names(pod: Pod) -> tuple[str, ...]:
    """The containers at the site that a status reports, in order; when each has ended, so has the pod."""
    containers, init = _reported(pod)
    local = local_names(pod)
    return tuple(each.name for each in (*init, *containers) if each.name not in local)


def declared_ports(pod: Pod) -> tuple[int, ...]:
    """The TCP ports of containers at the site, in order."""
    local = local_names(pod)
    at_site = (each for each in (*pod.spec.init_containers, *pod.spec.containers) if each.name not in local)
    ports = (port for container in at_site for port in container.ports if port.protocol == "TCP")
    return tuple(dict.fromkeys(port.container_port for port in ports))


def _reported(pod: Pod) -> tuple[list[Container], list[Container]]:
    """Containers and init containers. A native sidecar in the answer would keep the pod Pending for ever."""
    init = [container for container in pod.spec.init_containers if container.restart_policy != "Always"]
    return list(pod.spec.containers), init


def _awaited_sidecar(pod: Pod, view: PodView) -> Record | None:
    """The record of a native sidecar that other containers wait for. No status reports it, so their message does."""
    begun = [container for container in pod.spec.init_containers if container.name in view.records]
    if not begun or begun[-1].restart_policy != "Always":
        return None
    record = view.records[begun[-1].name]
    return record if record.phase is ContainerPhase.WAITING else None


def _entries(pod: Pod, summary: PodSummary) -> dict[str, dict[str, Any]]:
    """By the name of each container that is reported."""
    containers, init = _reported(pod)
    local, size = local_names(pod), summary.message_bytes
    at_site = {name: summary.container(name) for name in summary.view.container_names}
    states = {name: _state(each) for name, each in at_site.items()}
    if local:
        mains = [at_site[each.name] for each in containers if each.name not in local]
        states |= _local_states(local, (containers, init), mains, summary)
    return {
        each.name: _entry(each, at_site.get(each.name, summary.container(each.name)), states[each.name], size)
        for each in (*init, *containers)
    }


def _local_states(
    local: frozenset[str],
    reported: tuple[list[Container], list[Container]],
    mains: list[ContainerSummary],
    summary: PodSummary,
) -> dict[str, dict[str, Any]]:
    """The states of containers that no job runs, derived from those at the site."""
    containers, init = reported
    at_site = [_state(each) for each in mains]
    began, waiting = _first_start(mains, summary.view), _waiting(*summary.container_waiting)
    found = {each.name: local_state(at_site, began, waiting) for each in containers if each.name in local}
    return found | {each.name: local_init_state(at_site, began, waiting) for each in init if each.name in local}


def _first_start(containers: list[ContainerSummary], view: PodView) -> str:
    """When the first container started; empty if none has."""
    records = [view.records[each.name] for each in containers if each.name in view.records]
    return min((rfc3339(record.started) for record in records if record.has_run), default="")


def _entry(container: Container, summary: ContainerSummary, state: dict[str, Any], size: int) -> dict[str, Any]:
    running, last = "running" in state, summary.last
    return {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "ready": running,
        "started": running,
        "restartCount": summary.restarts,
        "state": state,
        "lastState": _terminated(last, cut_message(last.message, size)) if last else {},
    }


def _state(container: ContainerSummary) -> dict[str, Any]:
    if container.phase is ContainerPhase.TERMINATED:
        return _terminated(container, container.message)
    if container.phase is ContainerPhase.RUNNING:
        return {"running": {"startedAt": rfc3339(container.started)}}
    return _waiting(container.reason, container.message)


def _waiting(reason: str, message: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def _terminated(end: ContainerSummary | LastRun, message: str) -> dict[str, Any]:
    terminated: dict[str, Any] = {"exitCode": end.exit_code, "reason": "Error" if end.exit_code else "Completed"}
    if isinstance(end, ContainerSummary) and end.reason:
        terminated["reason"] = end.reason
    if began := end.started or end.finished:
        terminated["startedAt"] = rfc3339(began)
    if end.finished:
        terminated["finishedAt"] = rfc3339(end.finished)
    if end.signal:
        terminated["signal"] = end.signal
    if message:
        terminated["message"] = message
    return {"terminated": terminated}
