"""Pod + what is known of its job and containers -> interLink's PodStatus.

The rules come from what the Virtual Kubelet makes of each answer: every container of the request in spec order, with
exactly one state each, and never a terminal state that is not certain, since it asks no more after one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from remote_slurm.domain.ends import end_message, lost_code, lost_message, reason_follows
from remote_slurm.domain.local_containers import local_init_state, local_names, local_state
from remote_slurm.domain.messages import cut_message, message_bytes
from remote_slurm.domain.pod import Container, Pod
from remote_slurm.domain.reasons import pending_sentence, reason_word
from remote_slurm.domain.records import (
    KILLED,
    NOT_READY,
    NOT_STARTED,
    ContainerPhase,
    LastRun,
    Record,
    run_before_requeue,
)
from remote_slurm.domain.slurm import Job, Phase
from remote_slurm.domain.view import PodView

_INITIALIZING = "PodInitializing"


def pod_status(pod: Pod, view: PodView) -> dict[str, Any]:
    """The PodStatus of one pod, as JSON."""
    size, states = message_bytes(pod), _states(pod, view)

    def told(container: Container) -> dict[str, Any]:
        return _within(size, _container(container, states[container.name], view))

    return {
        "name": pod.metadata.name,
        "UID": pod.metadata.uid,
        "namespace": pod.metadata.namespace,
        "JID": view.job_id,
        "containers": [told(container) for container in pod.spec.containers],
        "initContainers": [told(container) for container in _reported_init(pod)],
    }


def _states(pod: Pod, view: PodView) -> dict[str, dict[str, Any]]:
    """By the name of each container that is reported."""
    every, local = [*_reported_init(pod), *pod.spec.containers], local_names(pod)
    states = {each.name: _state(each, view) for each in every if each.name not in local}
    _tell_of_sidecar(pod, states, view)
    return states | _local_states(pod, local, states, view) if local else states


def _tell_of_sidecar(pod: Pod, states: dict[str, dict[str, Any]], view: PodView) -> None:
    """Why others have not started yet, where that is a native sidecar, which no status shows."""
    begun = [container for container in pod.spec.init_containers if container.name in view.records]
    if not begun or begun[-1].restart_policy != "Always":
        return
    record = view.records[begun[-1].name]
    if record.phase is not ContainerPhase.WAITING:
        return
    for state in states.values():
        if state.get("waiting", {}).get("reason") == _INITIALIZING:
            state["waiting"]["message"] += f"; sidecar {record.container} comes first: {record.message}"


def _local_states(
    pod: Pod, local: frozenset[str], states: dict[str, dict[str, Any]], view: PodView
) -> dict[str, dict[str, Any]]:
    """Of those that no job runs, from the `states` of the others."""
    mains = [each for each in pod.spec.containers if each.name not in local]
    at_site = [states[each.name] for each in mains]
    began, waiting = _first_start(mains, view), {"waiting": _waiting(view)}
    found = {each.name: local_state(at_site, began, waiting) for each in pod.spec.containers if each.name in local}
    init = {each.name: local_init_state(at_site, began, waiting) for each in _reported_init(pod) if each.name in local}
    return found | init


def _first_start(containers: list[Container], view: PodView) -> str:
    """When the first of them did; empty: none has."""
    records = [view.records[each.name] for each in containers if each.name in view.records]
    return min((_time(record.started) for record in records if _has_run(record)), default="")


def _has_run(record: Record) -> bool:
    if record.phase is ContainerPhase.WAITING:
        return record.last is not None or record.reason == NOT_READY
    return not record.message.startswith(NOT_STARTED)


def _within(size: int, status: dict[str, Any]) -> dict[str, Any]:
    """With the messages of its ends cut to so many bytes."""
    for state in (status["state"], status["lastState"]):
        if "message" in state.get("terminated", {}):
            state["terminated"]["message"] = cut_message(state["terminated"]["message"], size)
    return status


def reported_names(pod: Pod) -> frozenset[str]:
    """The containers at the site that a status names; when each has ended, so has the pod."""
    return frozenset(container.name for container in (*_reported_init(pod), *pod.spec.containers)) - local_names(pod)


def _reported_init(pod: Pod) -> list[Container]:
    """A native sidecar in the answer would keep the pod Pending for ever."""
    return [container for container in pod.spec.init_containers if container.restart_policy != "Always"]


def _container(container: Container, state: dict[str, Any], view: PodView) -> dict[str, Any]:
    record, before = view.records.get(container.name), view.before.get(container.name)
    running = "running" in state
    return {
        "name": container.name,
        "image": container.image,
        "imageID": "",
        "ready": running,
        "started": running,
        "restartCount": view.runs + max(each.restarts if each else 0 for each in (record, before)),
        "state": state,
        "lastState": _last_state(record, before),
    }


def _state(container: Container, view: PodView) -> dict[str, Any]:
    record = view.records.get(container.name)
    if record is not None and record.phase is ContainerPhase.TERMINATED and not reason_follows(record, view):
        return _terminated(record.exit_code, record, message=end_message(record, view))
    if view.failure:
        return _terminated(1 if record is None else KILLED, record, message=view.failure)
    if view.settled:
        return _terminated(lost_code(view), record, message=lost_message(view))
    if record is not None and record.phase is ContainerPhase.WAITING:
        return {"waiting": {"reason": record.reason, "message": record.message}}
    if record is not None and not record.message.startswith(NOT_STARTED):
        return {"running": {"startedAt": _time(record.started)}}
    return {"waiting": _waiting(view)}


def _last_state(record: Record | None, before: Record | None) -> dict[str, Any]:
    """How the run before the present one ended, where the runner or Slurm has started the container again."""
    last = (record and record.last) or run_before_requeue(before)
    return _terminated(last.exit_code, last, message=last.message) if last else {}


def _terminated(exit_code: int, record: Record | LastRun | None, *, message: str) -> dict[str, Any]:
    terminated: dict[str, Any] = {"exitCode": exit_code, "reason": "Error" if exit_code else "Completed"}
    if record is not None and record.started:
        terminated["startedAt"] = _time(record.started)
    if record is not None and record.finished:
        terminated["finishedAt"] = _time(record.finished)
    if record is not None and record.signal:
        terminated["signal"] = record.signal
    if message:
        terminated["message"] = message
    return {"terminated": terminated}


def _waiting(view: PodView) -> dict[str, str]:
    job = view.job
    if job is None:
        return {"reason": view.waiting_reason, "message": view.waiting or "the job is being submitted"}
    if job.state.phase is Phase.WAITING:
        return {"reason": reason_word(job) or "Pending", "message": pending_message(job)}
    if view.records:
        return {
            "reason": _INITIALIZING,
            "message": f"job {job.id} runs; this container has not started yet",
        }
    return {"reason": "ContainerCreating", "message": f"job {job.id} is {job.state.value.lower()}"}


def pending_message(job: Job) -> str:
    """Why it waits, and until when as far as Slurm can say."""
    why = pending_sentence(job)
    expected = f"; expected to start at {_time(job.start)}" if job.start else ""
    return f"job {job.id} is {job.state.value.lower()} in Slurm{': ' if why else ''}{why}{expected}"


def _time(seconds: int) -> str:
    """RFC 3339 with a zone: Go rejects the whole answer otherwise."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
