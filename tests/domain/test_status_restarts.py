"""The status of containers that run more than once, or are not ready."""

from typing import Any

import pytest

from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.records import ContainerPhase, LastRun, Reason, Record, parse_records
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_status import pod_status
from remote_slurm.domain.status.view import PodView
from remote_slurm.service.tracked_pod import TrackedPod
from tests.domain.podspec import UID, container, pod

POD = parse_pod(pod(container("c")), "status")
KEY = f"default-{UID}"
LAST = LastRun(100, 110, 3, 0, "of the last run")


def record(phase: ContainerPhase, **fields: Any) -> Record:
    reported = {"started": 120, "finished": 0, "exit_code": 0, "signal": 0, "number": 5, "restarts": 2, "last": LAST}
    return Record(KEY, "c", phase, **(reported | fields))


def status(reported: Record, state: JobState = JobState.RUNNING, **view: Any) -> dict[str, Any]:
    found: dict[str, Any] = pod_status(POD, PodView(Job("7", state), {"c": reported}, **view))["containers"][0]
    return found


# --- records ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("v1 ns-1 c running 120 0 0 0 record=1 restarts=0 \t",
         Record("ns-1", "c", ContainerPhase.RUNNING, 120, 0, 0, 0, number=1)),
        ("v1 ns-1 c waiting 120 0 0 0 record=4 restarts=1 reason=CrashLoopBackOff last=100,110,3,0 10s\\tof\\n",
         Record("ns-1", "c", ContainerPhase.WAITING, 120, 0, 0, 0, "10s\tof", number=4, restarts=1,
                reason="CrashLoopBackOff", last=LastRun(100, 110, 3, 0))),
        ("v1 ns-1 c terminated 120 130 0 0 run=1 record=9 restarts=2 last=100,110,137,9 a\\\\b\\nc\td\\te",
         Record("ns-1", "c", ContainerPhase.TERMINATED, 120, 130, 0, 0, "a\\b\nc", run=1, number=9, restarts=2,
                reason="Completed", last=LastRun(100, 110, 137, 9, "d\te"))),
        ("v1 ns-1 c terminated 1 2 3 0 record=1 restarts=0 record=9 restarts=9\t",
         Record("ns-1", "c", ContainerPhase.TERMINATED, 1, 2, 3, 0, "record=9 restarts=9", number=1,
                reason="Error")),
        ("v1 ns-1 c terminated 1 2 3 0 of an earlier runner: a\\nb",
         Record("ns-1", "c", ContainerPhase.TERMINATED, 1, 2, 3, 0, "of an earlier runner: a\\nb", reason="Error")),
        ("v1 ns-1 c terminated 1 2 3 0 of an earlier runner: a\tb",
         Record("ns-1", "c", ContainerPhase.TERMINATED, 1, 2, 3, 0, "of an earlier runner: a\tb", reason="Error")),
    ],
)  # fmt: skip
def test_a_record_of_a_container_that_runs_more_than_once(line: str, expected: Record) -> None:
    assert parse_records(f"{line}\n") == [expected]


def test_a_container_that_waits_for_a_native_sidecar_names_it() -> None:
    side = parse_pod(pod(container("c"), initContainers=[container("s", restartPolicy="Always")]), "status")
    backs_off = Record(KEY, "s", ContainerPhase.WAITING, 1, 0, 0, 0, "back-off 20s", reason="CrashLoopBackOff")
    for reported, behind in (
        (backs_off, "; sidecar s comes first: back-off 20s"),
        (record(ContainerPhase.RUNNING), ""),
    ):
        answer = pod_status(side, PodView(Job("7", JobState.RUNNING), {"s": reported}))
        assert answer["containers"][0]["state"]["waiting"] == {
            "reason": "PodInitializing", "message": f"job 7 runs; this container has not started yet{behind}"
        }  # fmt: skip
        assert answer["initContainers"] == []


@pytest.mark.parametrize(
    "begun",
    [
        {"s": "waits", "i": "runs"},
        {"s": "waits", "i": "waits"},
        {"s": "runs", "i": "ended", "t": "runs"},
        {"s": "waits", "i": "ended", "t": "runs"},
    ],
)
def test_no_container_waits_for_a_sidecar_once_the_next_has_started(begun: dict[str, str]) -> None:
    """It may fail again, and wait for its next start, while an init container runs or another sidecar starts."""
    init = [container("s", restartPolicy="Always"), container("i"), container("t", restartPolicy="Always")]
    phases = {"waits": ContainerPhase.WAITING, "runs": ContainerPhase.RUNNING, "ended": ContainerPhase.TERMINATED}
    records = {name: Record(KEY, name, phases[how], 1, 0, 0, 0, "back-off 20s") for name, how in begun.items()}
    body = parse_pod(pod(container("c"), initContainers=init), "status")
    (reported,) = pod_status(body, PodView(Job("7", JobState.RUNNING), records))["containers"]
    assert reported["state"]["waiting"]["message"] == "job 7 runs; this container has not started yet"


def test_a_container_in_back_off_does_not_wait_for_a_sidecar() -> None:
    body = parse_pod(pod(container("c"), initContainers=[container("s", restartPolicy="Always")]), "status")
    backs_off = Record(KEY, "s", ContainerPhase.WAITING, 1, 0, 0, 0, "back-off 20s", reason="CrashLoopBackOff")
    own = record(ContainerPhase.WAITING, reason="CrashLoopBackOff", message="back-off 10s")
    (reported,) = pod_status(body, PodView(Job("7", JobState.RUNNING), {"s": backs_off, "c": own}))["containers"]
    assert reported["state"]["waiting"]["message"] == "back-off 10s"


def test_of_two_records_the_later_one_counts_in_whatever_order_they_come() -> None:
    waits = record(ContainerPhase.WAITING, number=4, reason="NotReady")
    for order in ((waits, record(ContainerPhase.RUNNING)), (record(ContainerPhase.RUNNING), waits)):
        entry = TrackedPod(KEY)
        for each in order:
            entry.add_record(each)
        assert entry.records["c"].phase is ContainerPhase.RUNNING


# --- status ----------------------------------------------------------------------------------------------------------


def test_a_container_that_waits_says_why_and_how_its_last_run_ended() -> None:
    reported = status(record(ContainerPhase.WAITING, reason="CrashLoopBackOff", message="back-off 10s"))
    assert reported["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert (reported["ready"], reported["started"], reported["restartCount"]) == (False, False, 2)
    assert reported["lastState"] == {
        "terminated": {
            "exitCode": 3,
            "reason": "Error",
            "startedAt": "1970-01-01T00:01:40Z",
            "finishedAt": "1970-01-01T00:01:50Z",
            "message": "of the last run",
        }
    }


def test_restarts_add_to_the_earlier_runs_of_the_job() -> None:
    assert status(record(ContainerPhase.RUNNING), runs=3)["restartCount"] == 5


@pytest.mark.parametrize("state", [JobState.TIMEOUT, JobState.NODE_FAIL, JobState.FAILED])
def test_a_container_that_waited_when_its_job_was_lost_was_killed(state: JobState) -> None:
    ended = status(record(ContainerPhase.WAITING, reason="NotReady"), state, final=True)["state"]["terminated"]
    assert ended["exitCode"] == 137


# --- why it was killed -----------------------------------------------------------------------------------------------


def killed(**fields: Any) -> Record:
    return record(ContainerPhase.TERMINATED, exit_code=137, signal=9, finished=130, **fields)


def test_a_message_of_a_killed_container_does_not_replace_slurms() -> None:
    said = killed(message="its last words")
    assert "running" in status(said)["state"]
    ended = status(said, JobState.OUT_OF_MEMORY, final=True)["state"]["terminated"]
    assert ended["message"].startswith("its last words; the job ran out of memory (job 7)")


def test_whom_a_probe_has_killed_is_not_slurms() -> None:
    unhealthy = killed(reason="Unhealthy", message="the liveness probe failed")
    for view in ({}, {"final": True}):
        ended = status(unhealthy, JobState.CANCELLED if view else JobState.RUNNING, **view)["state"]["terminated"]
        assert ended["message"] == "the liveness probe failed"


def test_who_was_stopped_says_its_own_words_and_slurms_reason() -> None:
    stopped = killed(message="last words; the job was told to stop", reason=Reason.JOB_STOPPED)
    assert "running" in status(stopped)["state"]
    ended = status(stopped, JobState.TIMEOUT, final=True)["state"]["terminated"]
    assert ended["message"] == "last words; the job was told to stop: the job reached its time limit (job 7)"
