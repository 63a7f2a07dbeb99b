"""The Events of pods are kept with the time when each was noticed, and only some of them."""

from dataclasses import replace
from itertools import count

from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_events import PodEvent
from remote_slurm.service.event_log import MOST_EVENTS, EventLog
from remote_slurm.service.tracked_pod import TrackedPod


def tracked() -> TrackedPod:
    pod = TrackedPod("ns-1", "ns/one")
    pod.update_from_squeue(Job("7", JobState.PENDING, reason="Priority", pod="ns-1"))
    return pod


def _events(log: EventLog, pod: TrackedPod) -> list[tuple[float, PodEvent]]:
    return log.of(pod, pod.summary())


def test_an_event_keeps_the_time_when_it_was_noticed() -> None:
    times = count(100)
    log, pod = EventLog(lambda: next(times)), tracked()
    assert [event.reason for event in log.notice(pod)] == ["Submitted", "Pending"]
    pod.update_from_squeue(Job("7", JobState.RUNNING, pod="ns-1", node="n1"))
    assert [(moment, event.reason) for moment, event in _events(log, pod)] == [
        (100, "Submitted"),
        (101, "Pending"),
        (102, "Started"),
    ]
    assert [event.reason for event in log.notice(pod)] == ["Started"]
    assert log.notice(pod) == []


def test_an_event_that_slurm_has_a_time_of_keeps_that_time() -> None:
    """A sidecar that starts later, or the command line itself, notices all of them at once."""
    log, pod = EventLog(lambda: 1000), TrackedPod("ns-1", "ns/one")
    pod.update_from_squeue(Job("7", JobState.RUNNING, pod="ns-1", node="n1", submitted=700, start=800))
    assert [(moment, event.reason) for moment, event in _events(log, pod)] == [(700, "Submitted"), (800, "Started")]
    pod.update_from_squeue(Job("7", JobState.FAILED, pod="ns-1", submitted=700, start=800, end=2000))
    log.notice(pod)
    assert _events(log, pod)[-1][0] == 1000


def test_an_event_of_a_forgotten_job_has_its_folders_time() -> None:
    log, pod = EventLog(lambda: 1000), TrackedPod("ns-1", "ns/one", container_names=("c",), submitted=700.5)
    pod.set_job_id("7")
    pod.mark_missing(900)
    pod.add_record(Record("ns-1", "c", ContainerPhase.TERMINATED, 800, 850, 0, 0, reason="Completed"))
    assert [(moment, event.reason) for moment, event in _events(log, pod)] == [(700.5, "Submitted"), (850, "Completed")]


def test_a_reason_that_changes_all_the_time_keeps_the_newest() -> None:
    log, pod = EventLog(), tracked()
    for number in range(2 * MOST_EVENTS):
        assert pod.job
        pod.update_from_squeue(replace(pod.job, reason=f"Reason{number}"))
        log.notice(pod)
    assert len(_events(log, pod)) == MOST_EVENTS
    assert f"Reason{2 * MOST_EVENTS - 1}" in _events(log, pod)[-1][1].message


def test_pods_that_are_gone_are_forgotten() -> None:
    log, pod = EventLog(lambda: 5), tracked()
    log.notice(pod)
    log.keep_only([])
    assert [event.reason for event in log.notice(pod)] == ["Submitted", "Pending"]
