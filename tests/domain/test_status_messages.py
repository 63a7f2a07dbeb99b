"""How long the messages are with which containers end: 12 KiB for a pod, as on a kubelet."""

import pytest
from podspec import container, pod

from remote_slurm.domain.pod import CreateRequest
from remote_slurm.domain.records import ContainerPhase, LastRun, Record
from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.domain.status import pod_status
from remote_slurm.domain.view import PodView


def messages(record: Record, *, init: int = 0, main: int = 1, job: Job | None = None) -> list[str]:
    """Those of the states and last states of a pod whose containers all have this record."""
    inits, mains = (
        [container(f"{kind}{number}") for number in range(count)] for kind, count in (("i", init), ("m", main))
    )
    parsed = CreateRequest.parse({"pod": pod(*mains, initContainers=inits), "container": []}).pod
    records = {each["name"]: record for each in (*inits, *mains)}
    status = pod_status(parsed, PodView(job, records, settled=True))
    states = [
        state
        for each in (*status["initContainers"], *status["containers"])
        for state in (each["state"], each["lastState"])
    ]
    return [state["terminated"]["message"] for state in states if state]


def ended(message: str, *, last: str = "", signal: int = 0) -> Record:
    run = LastRun(1, 2, 3, 0, last) if last else None
    return Record(
        "p", "c", ContainerPhase.TERMINATED, 1, 2, 128 + signal if signal else 3, signal, message, number=1, last=run
    )


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


def test_what_only_looks_like_a_reason_and_is_too_long_for_one_is_cut() -> None:
    assert messages(ended("x; " + "y" * 4000), main=12) == ["x; " + "y" * 1021] * 12
