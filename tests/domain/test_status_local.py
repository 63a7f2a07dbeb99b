"""Containers that stay in the cluster (interlink.eu/disable-offload-containers): they stand as the pod does."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.records import ContainerPhase, LastRun, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_status import pod_status, reported_names
from remote_slurm.domain.status.view import PodView
from tests.domain.podspec import UID, container, pod
from tests.vk import setbacks

LOCAL = {
    "interlink.eu/disable-offload-containers": "local, other",
    "interlink.eu/disable-offload-init-containers": "prepare",
}
POD = parse_pod(
    pod(container("a"), container("local"), container("b"), annotations=LOCAL, initContainers=[container("prepare")]),
    "status",
)
START, END = "1970-01-01T00:01:40Z", "1970-01-01T00:03:20Z"


def record(name: str, phase: ContainerPhase, exit_code: int = 0, **fields: Any) -> Record:
    finished = 200 if phase is ContainerPhase.TERMINATED else 0
    return Record(f"default-{UID}", name, phase, 100, finished, exit_code, 0, **fields)


def running(name: str) -> Record:
    return record(name, ContainerPhase.RUNNING)


def ended(name: str, exit_code: int = 0, message: str = "") -> Record:
    return record(name, ContainerPhase.TERMINATED, exit_code, message=message)


def never(name: str) -> Record:
    return replace(ended(name, 1, "not started: no image"), started=0)


def waits(name: str, reason: str, last: LastRun | None = None) -> Record:
    return record(name, ContainerPhase.WAITING, reason=reason, last=last)


def status(*records: Record, state: JobState = JobState.RUNNING, **fields: Any) -> dict[str, Any]:
    view = PodView(Job("7", state), {each.container: each for each in records}, **fields)
    return pod_status(POD, view)


def states(reported: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of `local`, and of the init container `prepare`."""
    (init,) = reported["initContainers"]
    return next(each["state"] for each in reported["containers"] if each["name"] == "local"), init["state"]


def test_no_container_waits_for_local_ones() -> None:
    assert reported_names(POD) == ("a", "b")


@pytest.mark.parametrize(
    "records",
    [(), (waits("a", "ErrImagePull"),), (never("a"),), (waits("a", "ContainerCreating"),)],
)
def test_they_wait_until_a_container_at_the_site_has_begun(records: tuple[Record, ...]) -> None:
    local, init = states(status(*records))
    assert list(local) == list(init) == ["waiting"]


@pytest.mark.parametrize(
    "records",
    [
        (running("a"),),
        (ended("a", 3),),
        (ended("a"), running("b")),
        (never("a"), running("b")),
        (waits("a", "CrashLoopBackOff", LastRun(1, 2, 3, 0)), ended("b")),
        (waits("a", "NotReady"),),
        (waits("a", "CrashLoopBackOff", LastRun(1, 2, 3, 0)),),
        (running("a"), replace(running("b"), started=150)),
        (replace(running("a"), started=150), running("b")),
    ],
)
def test_they_run_from_then_on_and_their_init_containers_are_over(records: tuple[Record, ...]) -> None:
    local, init = states(status(*records))
    assert local == {"running": {"startedAt": START}}
    assert init == {"terminated": {"exitCode": 0, "reason": "Completed"}}


def test_they_end_with_the_last_container_at_the_site_as_the_worst_did() -> None:
    worst = {"exitCode": 3, "reason": "Error", "startedAt": START, "finishedAt": END}
    local, init = states(status(ended("a", 3), ended("b")))
    assert local == {"terminated": worst}
    assert init == {"terminated": {"exitCode": 0, "reason": "Completed"}}
    completed = {"exitCode": 0, "reason": "Completed", "startedAt": START, "finishedAt": END}
    assert states(status(ended("a"), ended("b")))[0] == {"terminated": completed}


def test_they_end_when_the_pod_has_failed_before_any_container_began() -> None:
    local, init = states(status(failure="refused"))
    assert local == init == {"terminated": {"exitCode": 1, "reason": "Error"}}


def test_they_never_go_back_while_the_pod_goes_on() -> None:
    a, b = running("a"), running("b")
    course = [(), (a,), (a, b), (ended("a", 3), b), (ended("a", 3), ended("b"))]
    reported = [status(*records) for records in course]
    assert [setbacks(before, after) for before, after in itertools.pairwise(reported)] == [[]] * 4
