"""One summary of a pod: status, page, command line, Events, metrics and log are made of it, and never disagree."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.records import KILLED, SIGKILL, ContainerPhase, Reason, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.status.pod_events import pod_events
from remote_slurm.domain.status.pod_status import pod_status, reported_names
from remote_slurm.domain.status.pod_summary import ENDED, SUBMITTING, PodPhase, PodSummary
from remote_slurm.domain.status.view import PodView
from tests.domain.podspec import container, pod

POD = parse_pod(pod(container("a"), container("b")), "a test")
NAMES = reported_names(POD)
FINAL = {PodPhase.SUCCEEDED, PodPhase.FAILED}


def record(name: str, phase: ContainerPhase, code: int = 0, **fields: object) -> Record:
    return replace(Record("ns-1", name, phase, 100, 200 if code else 0, code, 0), **fields)


def running(name: str) -> Record:
    return record(name, ContainerPhase.RUNNING)


def ended(name: str, code: int = 0) -> Record:
    reason = Reason.ERROR if code else Reason.COMPLETED
    return record(name, ContainerPhase.TERMINATED, code, finished=200, reason=reason)


def killed(name: str) -> Record:
    return record(name, ContainerPhase.TERMINATED, KILLED, signal=SIGKILL)


RECORDS = [
    (),
    (running("a"),),
    (running("a"), running("b")),
    (ended("a"), running("b")),
    (ended("a"), ended("b")),
    (ended("a"), ended("b", 3)),
    (killed("a"), killed("b")),
    (record("a", ContainerPhase.WAITING, reason=Reason.CRASH_LOOP, message="back-off"), running("b")),
]
JOBS = [None, *(Job("7", state, "None") for state in JobState)]


def views() -> Iterator[PodView]:
    flags = itertools.product((False, True), repeat=3)
    for (final, deleted, unlisted), job, records in itertools.product(flags, JOBS, RECORDS):
        if final and (job is None or job.state.phase not in (JobPhase.ENDED, JobPhase.UNKNOWN)):
            continue  # the poller settles pods whose job has ended or is lost
        by_name = {each.container: each for each in records}
        view = PodView(job, by_name, final, container_names=NAMES, being_deleted=deleted, unlisted=unlisted)
        yield view
        yield replace(view, runs=1, previous_records=by_name, records={})
        if not final:
            yield replace(view, failure="Slurm refused the job")


def test_a_final_phase_is_an_end_of_each_container_in_the_status() -> None:
    for view in views():
        summary = PodSummary(view)
        states = [each["state"] for each in pod_status(POD, view)["containers"]]
        assert summary.is_over == all("terminated" in each for each in states), view
        if view.being_deleted:
            assert summary.phase is PodPhase.ENDING, view
        else:
            assert (summary.phase in FINAL) == summary.is_over, view


def test_phase_and_exit_code_follow_from_the_exit_codes_in_the_status() -> None:
    for view in views():
        summary = PodSummary(view)
        states = [each["state"] for each in pod_status(POD, view)["containers"]]
        codes = [each["terminated"]["exitCode"] for each in states if "terminated" in each]
        assert summary.exit_code == max(codes, default=0), view
        if summary.phase in FINAL:
            assert (summary.phase is PodPhase.FAILED) == any(codes), view


def test_a_container_has_the_same_state_in_status_and_summary() -> None:
    for view in views():
        status = pod_status(POD, view)["containers"]
        for reported, each in zip(status, PodSummary(view).containers, strict=True):
            assert list(reported["state"]) == [each.phase.value], view
            assert reported["restartCount"] == each.restarts, view


def test_a_running_container_makes_the_pod_running_unless_its_job_ended() -> None:
    for view in views():
        summary = PodSummary(view)
        if any(each.phase is ContainerPhase.RUNNING for each in summary.containers):
            assert summary.phase in {PodPhase.RUNNING, PodPhase.ENDING}, view


def test_every_failure_has_a_reason() -> None:
    for view in views():
        summary = PodSummary(view)
        if summary.phase is PodPhase.FAILED:
            assert summary.reason, view


def test_the_last_event_of_a_failed_pod_is_a_warning() -> None:
    for view in views():
        summary = PodSummary(view)
        events = pod_events(summary)
        if summary.phase is PodPhase.FAILED and view.job is not None:
            assert events[-1].is_warning, view
        if summary.phase is PodPhase.SUCCEEDED and view.job is not None and not view.failure:
            assert not events[-1].is_warning, view
        if view.being_deleted and not view.failure and not view.runs:
            assert not [each for each in events if each.is_warning and each.key.startswith("ended")], view


def test_completed_is_an_event_of_succeeded_and_deleted_pods_only() -> None:
    for view in views():
        summary = PodSummary(view)
        if any(each.reason == "Completed" for each in pod_events(summary)):
            assert summary.phase is PodPhase.SUCCEEDED or view.being_deleted, view


def test_the_state_is_slurms_unless_slurm_has_none() -> None:
    for view in views():
        summary = PodSummary(view)
        if view.failure:
            assert summary.state == "FAILED"
        elif view.job is None:
            assert summary.state == SUBMITTING
        elif view.unlisted and not view.final and view.job.state.phase is not JobPhase.ENDED:
            assert summary.state in {"UNKNOWN", ENDED, "COMPLETED", "FAILED"}, view
            if summary.is_over:
                assert summary.state == ("FAILED" if summary.exit_code else "COMPLETED"), view
        elif view.job.state is not JobState.UNKNOWN:
            assert summary.state == view.job.state.value, view


def test_status_and_event_name_the_node_of_a_started_job() -> None:
    for state in JobState:
        view = PodView(Job("7", state, node="cn042"))
        summary, started = PodSummary(view), state.phase in (JobPhase.RUNNING, JobPhase.ENDED)
        assert summary.node == ("cn042" if started else ""), state
        assert pod_status(POD, view)["nodeName"] == summary.node, state
        named = [each for each in pod_events(summary) if "cn042" in each.message]
        assert not named or summary.node, state
    assert PodSummary(PodView()).node == ""


@pytest.mark.parametrize(
    ("view", "phase", "state", "reason"),
    [
        (PodView(), "waiting", "SUBMITTING", ""),
        (PodView(waiting="the site is away"), "waiting", "SUBMITTING", "the site is away"),
        (PodView(failure="no such partition"), "failed", "FAILED", "no such partition"),
        (
            PodView(Job("7", JobState.PENDING, "Priority")),
            "waiting",
            "PENDING",
            "Priority: jobs of higher priority come first",
        ),
        (PodView(Job("7", JobState.RUNNING, "None")), "running", "RUNNING", ""),
        (
            PodView(Job("7", JobState.RUNNING, "None"), unlisted=True),
            "running",
            "UNKNOWN",
            "squeue does not list its job",
        ),
        (
            PodView(Job("7", JobState.PENDING), {"a": ended("a"), "b": ended("b")}, unlisted=True),
            "ending",
            "ENDED",
            "",
        ),
        (
            PodView(Job("7", JobState.FAILED, "NonZeroExitCode"), {"a": ended("a", 3)}, final=True),
            "failed",
            "FAILED",
            "a ended with exit code 3",
        ),
        (
            PodView(Job("7", JobState.NODE_FAIL), {"a": ended("a"), "b": ended("b")}, container_names=NAMES),
            "succeeded",
            "NODE_FAIL",
            "",
        ),
        (
            PodView(Job("7", JobState.COMPLETED), {"side": ended("side", 143)}, final=True),
            "succeeded",
            "COMPLETED",
            "",
        ),
        (PodView(Job("7", JobState.COMPLETED), {}), "ending", "COMPLETED", ""),
        (PodView(Job("7", JobState.RUNNING), being_deleted=True), "ending", "RUNNING", "the pod is being deleted"),
    ],
)
def test_phase_state_and_reason(view: PodView, phase: str, state: str, reason: str) -> None:
    summary = PodSummary(view)
    assert (summary.phase, summary.state, summary.reason) == (phase, state, reason)


def test_a_lost_pod_says_where_its_job_was_looked_for() -> None:
    summary = PodSummary(PodView(Job("7", JobState.UNKNOWN), final=True))
    assert (summary.phase, summary.exit_code) == (PodPhase.FAILED, KILLED)
    assert summary.reason.startswith("the job is lost: neither squeue nor the accounting lists it")
    assert pod_events(summary)[-1].reason == "Lost"


def test_unlisted_containers_are_in_the_order_of_their_start() -> None:
    late, early = replace(running("x"), started=200), replace(running("y"), started=100)
    assert [each.name for each in PodSummary(PodView(records={"x": late, "y": early})).containers] == ["y", "x"]


def test_a_job_that_squeue_has_forgotten_ran_on_the_node_of_its_records() -> None:
    there = replace(ended("a"), node="cn042")
    unlisted = PodView(Job("7", JobState.PENDING), {"a": there}, unlisted=True, container_names=("a",))
    for view in (unlisted, replace(unlisted, job=None), replace(unlisted, final=True)):
        assert PodSummary(view).node == "cn042"
        assert pod_status(POD, view)["nodeName"] == "cn042"
    seen = replace(unlisted, job=Job("7", JobState.COMPLETED, node="cn001"))
    assert PodSummary(seen).node == "cn001"
    requeued = PodView(Job("7", JobState.PENDING), previous_records={"a": there}, container_names=("a",))
    assert PodSummary(requeued).node == ""
