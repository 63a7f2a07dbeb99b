"""What Kubernetes is told of each turn of a pod's job: once, in the words of its status."""

import pytest

from remote_slurm.domain.bulletins import bulletins
from remote_slurm.domain.slurm import Job, JobState, Phase
from remote_slurm.domain.view import PodView


def told(view: PodView) -> list[tuple[str, str]]:
    return [(each.reason, each.message) for each in bulletins(view)]


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
        (PodView(Job("7", JobState.RUNNING, node="n12")), ("Started", "job 7 has started on node n12")),
        (PodView(Job("7", JobState.SUSPENDED)), ("Suspended", "Slurm has suspended job 7")),
        (PodView(Job("7", JobState.COMPLETED)), ("Completed", "job 7 has ended")),
        (PodView(Job("7", JobState.TIMEOUT)), ("Timeout", "the job reached its time limit (job 7)")),
        (PodView(Job("7", JobState.OUT_OF_MEMORY)), ("OutOfMemory", "the job ran out of memory (job 7)")),
        (PodView(Job("7", JobState.FAILED)), ("Failed", "the job ended as FAILED (job 7)")),
    ],
)
def test_each_turn(view: PodView, last: tuple[str, str]) -> None:
    assert told(view) == [SUBMITTED, last]


def test_nothing_is_told_before_there_is_something() -> None:
    assert told(PodView()) == []
    assert told(PodView(Job("7", JobState.UNKNOWN))) == []
    assert told(PodView(Job("7", JobState.PENDING))) == [SUBMITTED]


def test_a_pod_that_will_have_no_job() -> None:
    assert told(PodView(failure="Slurm refused it")) == [("NotSubmitted", "Slurm refused it")]


def test_a_requeue_is_told_each_time() -> None:
    keys = [{each.key for each in bulletins(PodView(Job("7", JobState.PENDING, "BeginTime"), runs=n))} for n in (1, 2)]
    assert keys[0] ^ keys[1] == {"requeued 1", "requeued 2"}


def test_a_forecast_that_changes_is_told_once() -> None:
    one, two = (bulletins(PodView(Job("7", JobState.PENDING, "Priority", start=start))) for start in (1000, 2000))
    assert [each.key for each in one] == [each.key for each in two]


@pytest.mark.parametrize("state", list(JobState))
def test_every_end_but_one_is_a_warning_and_so_is_a_suspension(state: JobState) -> None:
    last = bulletins(PodView(Job("7", state, "None")))[-1:]
    bad = state is JobState.SUSPENDED or (state.phase is Phase.ENDED and state is not JobState.COMPLETED)
    assert any(each.is_warning for each in last) == bad
