"""How long the messages are with which containers end: 12 KiB for a pod, as on a kubelet."""

from typing import Any

import pytest

from remote_slurm.domain.pod.model import CreateRequest, parse_pod
from remote_slurm.domain.records import ContainerPhase, LastRun, Reason, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_status import pod_status
from remote_slurm.domain.status.view import PodView
from tests.domain.podspec import container, pod


def messages(record: Record, *, init: int = 0, main: int = 1, job: Job | None = None) -> list[str]:
    """Those of the states and last states of a pod whose containers all have this record."""
    inits, mains = (
        [container(f"{kind}{number}") for number in range(count)] for kind, count in (("i", init), ("m", main))
    )
    body = pod(*mains, initContainers=inits, annotations={"slurm-job.vk.io/flags": "--mem=1G"})
    parsed = CreateRequest.parse({"pod": body, "container": []}).pod
    records = {each["name"]: record for each in (*inits, *mains)}
    status = pod_status(parsed, PodView(job, records, final=True))
    states = [
        state
        for each in (*status["initContainers"], *status["containers"])
        for state in (each["state"], each["lastState"])
    ]
    return [state["terminated"]["message"] for state in states if state]


def ended(message: str, *, last: str = "", signal: int = 0, reason: str = Reason.ERROR) -> Record:
    run = LastRun(1, 2, 3, 0, last) if last else None
    code, reason = (128 + signal, "") if signal else (3, reason)
    return Record("p", "c", ContainerPhase.TERMINATED, 1, 2, code, signal, message, number=1, reason=reason, last=run)


@pytest.mark.parametrize(
    ("init", "main", "size"), [(0, 1, 4096), (0, 3, 4096), (0, 4, 3072), (1, 3, 3072), (6, 6, 1024), (0, 500, 24)]
)
def test_containers_share_twelve_kib_evenly(init: int, main: int, size: int) -> None:
    assert messages(ended("x" * 4096), init=init, main=main) == ["x" * size] * (init + main)


def test_the_message_of_the_last_run_counts_like_another_one() -> None:
    assert messages(ended("x" * 4096, last="y" * 4096), main=6) == ["x" * 2048, "y" * 2048] * 6


def test_no_character_is_cut_in_two() -> None:
    assert messages(ended("xx" + "\u20ac" * 1000), main=12) == ["xx" + "\u20ac" * 340] * 12


def test_why_the_job_ended_stays() -> None:
    killed = Job("7", JobState.OUT_OF_MEMORY)
    reason = "; the job ran out of memory (job 7)"
    assert messages(ended("x" * 4096, signal=9), main=12, job=killed) == ["x" * (1024 - len(reason)) + reason] * 12


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, False),
        ({"resources": {"limits": {"memory": "0"}}}, False),
        ({"resources": {"limits": {"cpu": "1"}}}, False),
        ({"resources": {"limits": {"memory": "1Gi"}}}, True),
        ({"resources": {"requests": {"memory": 1000000}}}, True),
    ],
)
def test_out_of_memory_without_a_limit_says_what_to_set(fields: dict[str, Any], names: bool) -> None:  # noqa: FBT001
    killed = Job("7", JobState.OUT_OF_MEMORY)
    advice = (
        ": the pod has no memory limit, so that the default of the sidecar or the partition applied; "
        "set resources.limits.memory"
    )
    reason = "the job ran out of memory (job 7)" + ("" if names else advice)
    body = parse_pod(pod(container("c", **fields)), "status")
    for records, said in (({"c": ended("x" * 5000, signal=9)}, "x; "), ({"c": ended("", signal=9)}, ""), ({}, "")):
        status = pod_status(body, PodView(killed, records, final=True))
        message = status["containers"][0]["state"]["terminated"]["message"]
        without_record = " before any container started: see its log" if names and not records else ""
        assert message.endswith(said + reason + without_record)
        assert len(message) <= 12 * 1024


@pytest.mark.parametrize(("node", "hinted"), [("n1", True), ("", False)])
def test_a_job_that_was_cancelled_on_its_node_may_have_a_failed_prolog(node: str, *, hinted: bool) -> None:
    """squeue and sacct give no reason, only the log of slurmd: "not able to requeue it, cancelling job"."""
    view = PodView(Job("7", JobState.CANCELLED, "None", node=node), {}, final=True)
    status = pod_status(parse_pod(pod(container("c")), "status"), view)
    reported = status["containers"][0]["state"]["terminated"]["message"]
    assert reported.startswith("the job was cancelled (job 7) before any container started")
    assert ("if the prolog of node n1 fails" in reported) is hinted


def test_the_flags_annotation_names_memory_as_well() -> None:
    body = parse_pod(pod(container("c"), annotations={"slurm-job.vk.io/flags": "--mem-per-cpu=1G"}), "status")
    status = pod_status(body, PodView(Job("7", JobState.OUT_OF_MEMORY), {}, final=True))
    assert "no memory limit" not in status["containers"][0]["state"]["terminated"]["message"]


def test_what_the_runner_says_behind_a_long_message_stays() -> None:
    said = ended("x" * 4096 + "; volume v holds too much", reason="Evicted")
    assert all(reported.endswith("; volume v holds too much") for reported in messages(said, main=12))
    assert {len(reported) for reported in messages(said, main=12)} == {1024}


def test_what_only_looks_like_a_reason_is_cut() -> None:
    assert messages(ended("x" * 4000 + "; mine"), main=12) == ["x" * 1024] * 12


def test_a_completed_job_without_records_points_to_the_folder() -> None:
    """Seen at a site with a full home: the container ran to its end, and no record of it could be written."""
    view = PodView(Job("7", JobState.COMPLETED), {}, final=True)
    status = pod_status(parse_pod(pod(container("c")), "status"), view)
    message = status["containers"][0]["state"]["terminated"]["message"]
    assert message == (
        "the job ended as COMPLETED (job 7), and no record of a container was written: "
        "check that DataRootFolder is not full or read-only"
    )
