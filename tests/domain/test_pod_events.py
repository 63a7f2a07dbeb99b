"""Kubernetes Events of a pod: one for each step of its job, in the words of its status."""

import pytest

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.status.pod_events import PodEvent, pod_events
from remote_slurm.domain.status.pod_summary import PodSummary
from remote_slurm.domain.status.view import PodView


def events(view: PodView) -> list[PodEvent]:
    return pod_events(PodSummary(view))


def words(view: PodView) -> list[tuple[str, str]]:
    return [(each.reason, each.message) for each in events(view)]


SUBMITTED = ("Submitted", "submitted to Slurm as job 7")


@pytest.mark.parametrize(
    ("view", "last"),
    [
        (
            PodView(Job("7", JobState.PENDING, "Resources", start=1795478290)),
            (
                "Pending",
                (
                    "job 7 is pending in Slurm: Resources: waiting for nodes to become free; expected to start at "
                    "2026-11-23T23:58:10Z"
                ),
            ),
        ),
        (PodView(Job("7", JobState.RUNNING, node="n12")), ("Started", "job 7 started on n12")),
        (PodView(Job("7", JobState.SUSPENDED)), ("Suspended", "Slurm has suspended job 7")),
        (PodView(Job("7", JobState.COMPLETED), final=True), ("Completed", "job 7 has ended")),
        (PodView(Job("7", JobState.TIMEOUT)), ("Timeout", "the job reached its time limit (job 7)")),
        (PodView(Job("7", JobState.OUT_OF_MEMORY)), ("OutOfMemory", "the job ran out of memory (job 7)")),
        (PodView(Job("7", JobState.FAILED)), ("Failed", "the job ended as FAILED (job 7)")),
    ],
)
def test_each_step_of_a_job(view: PodView, last: tuple[str, str]) -> None:
    assert words(view) == [SUBMITTED, last]


def test_there_is_no_event_before_there_is_a_job() -> None:
    assert words(PodView()) == []
    assert words(PodView(Job("7", JobState.UNKNOWN))) == []
    assert words(PodView(Job("7", JobState.PENDING))) == [SUBMITTED]


def test_a_refused_pod() -> None:
    assert words(PodView(failure="Slurm refused it")) == [("NotSubmitted", "Slurm refused it")]


def test_each_requeue_is_an_event() -> None:
    keys = [{each.key for each in events(PodView(Job("7", JobState.PENDING, "BeginTime"), runs=n))} for n in (1, 2)]
    assert keys[0] ^ keys[1] == {"requeued 1", "requeued 2"}


def test_a_forecast_that_changes_is_one_event() -> None:
    one, two = (events(PodView(Job("7", JobState.PENDING, "Priority", start=start))) for start in (1000, 2000))
    assert [each.key for each in one] == [each.key for each in two]


@pytest.mark.parametrize("state", list(JobState))
def test_bad_ends_and_suspensions_are_warnings(state: JobState) -> None:
    last = events(PodView(Job("7", state, "None")))[-1:]
    bad = state is JobState.SUSPENDED or (state.phase is JobPhase.ENDED and state is not JobState.COMPLETED)
    assert any(each.is_warning for each in last) == bad
