"""Jobs that are stopped, killed, or run again: what is an end, and what is not."""

from dataclasses import replace
from typing import Any

import pytest

from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.records import ContainerPhase, Reason, Record, parse_records
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.status.container_ends import end_sentence
from remote_slurm.domain.status.pod_status import pod_status, reported_names
from remote_slurm.domain.status.view import PodView
from tests.domain.podspec import UID, container, pod

POD = parse_pod(pod(container("a"), container("b"), initContainers=[container("init")]), "status")
KEY = f"default-{UID}"
STOPPED = "the job was told to stop"


def running(name: str, **fields: Any) -> Record:
    return Record(KEY, name, ContainerPhase.RUNNING, 100, 0, 0, 0, **fields)


def ended(name: str, exit_code: int = 0, message: str = "", *, signal: int = 0, **fields: Any) -> Record:
    return Record(KEY, name, ContainerPhase.TERMINATED, 100, 200, exit_code, signal, message, **fields)


def stopped(name: str, message: str = STOPPED, **fields: Any) -> Record:
    return ended(name, 143, message, reason=Reason.JOB_STOPPED, **fields)


def states(view: PodView) -> dict[str, dict[str, Any]]:
    status = pod_status(POD, view)
    return {each["name"]: each["state"] for each in (*status["initContainers"], *status["containers"])}


def view(state: JobState, *records: Record, **fields: Any) -> PodView:
    return PodView(Job("7", state), {each.container: each for each in records}, **fields)


@pytest.mark.parametrize("state", [state for state in JobState if state.phase is not JobPhase.ENDED])
@pytest.mark.parametrize("record", [stopped("a", signal=15), stopped("a", "any"), ended("a", 137, signal=9)])
def test_a_killed_container_runs_until_slurm_gives_the_reason(state: JobState, record: Record) -> None:
    assert states(view(state, ended("init"), record))["a"] == {"running": {"startedAt": "1970-01-01T00:01:40Z"}}


def test_an_unstarted_container_waits_until_slurm_gives_the_reason() -> None:
    never = replace(stopped("a", f"not started: {STOPPED}"), started=0, exit_code=1)
    records = (stopped("init"), never)
    before = states(view(JobState.COMPLETING, *records))
    assert [next(iter(state)) for state in before.values()] == ["running", "waiting", "waiting"]
    after = states(view(JobState.CANCELLED, *records, final=True))
    assert after["a"]["terminated"]["message"] == f"not started: {STOPPED}: the job was cancelled (job 7)"
    assert after["b"]["terminated"]["exitCode"] == 137


def test_each_state_in_which_slurm_ends_a_job_has_a_sentence() -> None:
    by_themselves = {JobState.COMPLETED, JobState.FAILED}
    ends = [state for state in JobState if state.phase is JobPhase.ENDED and state not in by_themselves]
    assert len(ends) > 5
    assert not [state for state in ends if state.value in end_sentence(Job("7", state))]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (JobState.BOOT_FAIL, "the node failed to boot"),
        (JobState.CANCELLED, "the job was cancelled"),
        (JobState.DEADLINE, "the job reached its deadline"),
        (JobState.LAUNCH_FAILED, "the job could not be launched"),
        (JobState.NODE_FAIL, "a node of the job failed"),
        (JobState.OUT_OF_MEMORY, "the job ran out of memory"),
        (JobState.PREEMPTED, "the job was preempted by another one"),
        (JobState.RECONFIG_FAIL, "the node could not be reconfigured for the job"),
        (JobState.TIMEOUT, "the job reached its time limit"),
    ],
)
@pytest.mark.parametrize("record", [stopped("a", signal=15), ended("a", 137, signal=9)])
def test_then_its_message_says_why(state: JobState, words: str, record: Record) -> None:
    reported = states(view(state, record, final=True))["a"]["terminated"]
    before = f"{STOPPED}: " if record.message else ""
    assert reported["message"].startswith(f"{before}{words} (job 7)")
    assert reported["exitCode"] == record.exit_code
    without_record = states(view(state, final=True))["a"]["terminated"]
    assert without_record["exitCode"] == 137
    assert words in without_record["message"]


@pytest.mark.parametrize("state", [state for state in JobState if state.phase is JobPhase.ENDED])
def test_only_a_completed_job_implies_success_without_a_record(state: JobState) -> None:
    exit_code = states(view(state, final=True))["a"]["terminated"]["exitCode"]
    assert (exit_code == 0) is (state is JobState.COMPLETED)


@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize(
    "record",
    [
        ended("a"),
        ended("a", 3),
        ended("a", 1, "not started: hostPath /x is not there", reason=Reason.NOT_STARTED),
        ended("a", 137, "the runner says why", signal=9, reason="Unhealthy"),
        ended("a", 1, "not started: db", reason=Reason.ERROR),
        ended("a", 1, "oh: the job was told to stop", reason=Reason.ERROR),
    ],
)
def test_a_container_that_ended_by_itself_says_so_at_once_and_for_good(state: JobState, record: Record) -> None:
    reported = [states(view(state, record, final=final))["a"]["terminated"] for final in (False, True)]
    assert reported[0] == reported[1]
    assert reported[0]["exitCode"] == record.exit_code
    assert reported[0].get("message", "") == record.message


@pytest.mark.parametrize(
    ("job", "code", "message"),
    [
        (Job("7", JobState.COMPLETED, exit_code=0), 0, "before the container's end was recorded"),
        (Job("7", JobState.FAILED, exit_code=3), 3,
         "job 7 ended with exit code 3, the highest of its containers; the end of this container was not recorded"),
        (Job("7", JobState.FAILED), 137, "the job ended as FAILED (job 7) before"),
        (Job("7", JobState.FAILED, exit_code=0), 137, "the job ended as FAILED (job 7) before"),
        (Job("7", JobState.NODE_FAIL, exit_code=1), 137, "a node of the job failed (job 7) before"),
        (Job("7", JobState.UNKNOWN), 137, "the job is lost"),
    ],
)  # fmt: skip
def test_an_unrecorded_end_is_taken_from_accounting(job: Job, code: int, message: str) -> None:
    reported = states(PodView(job, {"a": ended("a", 2)}, final=True))
    assert reported["a"]["terminated"]["exitCode"] == 2
    assert reported["b"]["terminated"]["exitCode"] == code
    assert message in reported["b"]["terminated"]["message"]


@pytest.mark.parametrize("final", [False, True])
def test_a_failed_submission_ends_all_containers_that_still_run(*, final: bool) -> None:
    """Nothing more is waited for, and who ran then was killed."""
    records = (stopped("init", signal=15), running("a"))
    reported = states(PodView(None, {each.container: each for each in records}, final, failure="refused"))
    ends = {name: (state["terminated"]["exitCode"], state["terminated"]["message"]) for name, state in reported.items()}
    assert ends == {"init": (143, STOPPED), "a": (137, "refused"), "b": (1, "refused")}


UNKNOWN = Job("7", JobState.UNKNOWN)


@pytest.mark.parametrize(
    ("view", "known"),
    [
        (PodView(), True),
        (PodView(Job("7", JobState.PENDING)), True),
        (PodView(UNKNOWN), False),
        (PodView(UNKNOWN, final=True), True),
        (PodView(UNKNOWN, failure="refused"), True),
        (PodView(UNKNOWN, {"a": running("a")}), True),
    ],
)
def test_a_job_known_only_to_the_virtual_kubelet_is_not_reported(view: PodView, *, known: bool) -> None:
    assert view.is_known is known


def test_an_end_has_its_times_and_its_signal_if_there_are_any() -> None:
    began, over = "1970-01-01T00:01:40Z", "1970-01-01T00:03:20Z"
    killed = ended("a", 139, signal=11)
    never = Record(KEY, "b", ContainerPhase.TERMINATED, 0, 0, 1, 0)
    reported = states(view(JobState.FAILED, ended("init"), killed, never, final=True))
    assert {name: state["terminated"] for name, state in reported.items()} == {
        "init": {"exitCode": 0, "reason": "Completed", "startedAt": began, "finishedAt": over},
        "a": {"exitCode": 139, "reason": "Error", "startedAt": began, "finishedAt": over, "signal": 11},
        "b": {"exitCode": 1, "reason": "Error"},
    }


def test_a_requeued_job_has_waiting_containers_and_counts_its_runs() -> None:
    status = pod_status(POD, PodView(Job("7", JobState.PENDING, "BeginTime", start=300), runs=2))
    for each in (*status["initContainers"], *status["containers"]):
        assert each["restartCount"] == 2
        assert each["lastState"] == {}
        assert each["state"]["waiting"]["reason"] == "BeginTime"
        assert each["state"]["waiting"]["message"].endswith("expected to start at 1970-01-01T00:05:00Z")


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.RUNNING])
def test_a_requeued_job_keeps_counting_restarts_and_has_a_last_state(state: JobState) -> None:
    """The next run's own records say the same, but where nodes share no file system: there it begins with nothing."""
    before = {"a": stopped("a", f"bye; {STOPPED}", signal=15, restarts=2), "b": running("b"), "init": ended("init")}
    now = {"a": running("a", run=1)} if state is JobState.RUNNING else {}
    status = pod_status(POD, PodView(Job("7", state), now, runs=1, previous_records=before))
    a, b = status["containers"]
    assert [a["restartCount"], b["restartCount"]] == [3, 1]
    assert a["lastState"]["terminated"] == {
        "exitCode": 143, "reason": "Error", "signal": 15, "message": f"bye; {STOPPED}: Slurm has requeued the job",
        "startedAt": "1970-01-01T00:01:40Z", "finishedAt": "1970-01-01T00:03:20Z",
    }  # fmt: skip
    assert b["lastState"]["terminated"] == {
        "exitCode": 137, "reason": "Error", "signal": 9, "message": "how it ended was not recorded",
        "startedAt": "1970-01-01T00:01:40Z",
    }  # fmt: skip
    assert status["initContainers"][0]["lastState"]["terminated"]["reason"] == "Completed"


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("v1 ns-1 c running 1 0 0 0 run=3", Record("ns-1", "c", ContainerPhase.RUNNING, 1, 0, 0, 0, run=3)),
        (f"v1 ns-1 c terminated 1 2 1 0 run=12 {STOPPED}",
         Record("ns-1", "c", ContainerPhase.TERMINATED, 1, 2, 1, 0, STOPPED, 12, reason="JobStopped")),
        ("v1 ns-1 c terminated 1 2 1 0 no run=3",
         Record("ns-1", "c", ContainerPhase.TERMINATED, 1, 2, 1, 0, "no run=3", reason="Error")),
    ],
)  # fmt: skip
def test_a_record_says_which_run_it_is_of(line: str, record: Record) -> None:
    assert parse_records(f"{line}\n") == [record]


def test_the_names_that_a_status_has() -> None:
    assert reported_names(POD) == ("init", "a", "b")
