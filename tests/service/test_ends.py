"""How the end of a job becomes known: by squeue, the records in its folder and the accounting; and what is none."""

from dataclasses import replace

import pytest

from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import RemoteFailed, SiteError
from remote_slurm.service.job_ends import LOST_POLLS, LOST_SECONDS, RECORD_GRACE_SECONDS
from tests.service.logged import Logged
from tests.service.polled_pod import LONG_AGO, Watched

AWAY = RemoteFailed("sacct failed: sacct: error: slurm_persist_conn_open: Unable to connect to slurmdbd")


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED])
async def test_an_exit_code_that_only_the_folder_has_is_found_there(watched: Watched, state: JobState) -> None:
    """What was dropped into the spool may have been lost, or may come later than a long interval lets it."""
    await watched.poll()
    watched.site.folder = [watched.record(ContainerPhase.TERMINATED, 3)]
    watched.is_shown(state)
    assert await watched.exit_code() == 3


async def test_the_secrets_of_a_pod_are_removed_once_it_is_over(watched: Watched) -> None:
    await watched.poll()
    watched.site.folder = [watched.record(ContainerPhase.TERMINATED, 3)]
    watched.is_shown(JobState.FAILED)
    await watched.poll()
    watched.site.fails["records"] = RemoteFailed("the file system hangs")
    await watched.poll()
    del watched.site.fails["records"]
    await watched.poll()
    await watched.poll()
    assert watched.site.ended == [[], [], [watched.tracked.key], []], "again if it failed, and once"


async def test_it_is_found_there_also_where_squeue_has_forgotten_the_job(watched: Watched) -> None:
    await watched.poll()
    watched.site.folder = [watched.record(ContainerPhase.TERMINATED, 3)]
    watched.is_forgotten()
    assert await watched.exit_code() == 3


async def test_a_record_that_is_late_is_waited_for_and_its_exit_code_counts(watched: Watched) -> None:
    await watched.poll()
    watched.is_shown(JobState.FAILED)
    assert await watched.exit_code() is None
    assert await watched.exit_code(RECORD_GRACE_SECONDS - 1) is None
    watched.site.folder = [watched.record(ContainerPhase.TERMINATED, 3)]
    assert await watched.exit_code(1) == 3


async def test_an_end_without_a_record_counts_once_no_record_can_be_late(watched: Watched) -> None:
    await watched.poll()
    watched.is_shown(JobState.COMPLETED)
    assert await watched.exit_code() is None
    assert await watched.exit_code(RECORD_GRACE_SECONDS) == 0


@pytest.mark.parametrize(
    "word", [JobState.RUNNING, JobState.PENDING, JobState.SUSPENDED, JobState.UNKNOWN, JobState.REVOKED]
)
async def test_an_accounting_that_lags_behind_changes_nothing(watched: Watched, word: JobState) -> None:
    """slurmdbd may hear of a job's turns minutes later, and of some never. A job that another cluster of the federation
    runs is revoked in its own, and squeue lists it in neither while the other slurmctld is away (seen with 24.11).
    """
    await watched.poll()
    watched.site.spool = [watched.record(ContainerPhase.RUNNING)]
    watched.is_forgotten()
    watched.site.sacct = [Job("7", word)]
    for _ in range(LOST_POLLS):
        assert "running" in await watched.poll()
    assert watched.tracked.job == watched.job, "squeue has seen more of it"
    watched.site.sacct = [Job("7", JobState.FAILED, exit_code=3)]
    watched.site.folder = [watched.record(ContainerPhase.TERMINATED, 3)]
    assert await watched.exit_code() == 3


@pytest.mark.parametrize("away", [AWAY, RemoteFailed("sacct failed: cluster 'disabled' not reachable")])
async def test_an_accounting_that_is_away_is_asked_again(watched: Watched, away: SiteError) -> None:
    await watched.poll()
    watched.is_forgotten()
    watched.site.sacct = away
    assert await watched.exit_code() is None
    watched.site.sacct = [Job("7", JobState.FAILED, exit_code=3)]
    assert await watched.exit_code() is None, "its record may be on its way"
    assert await watched.exit_code(RECORD_GRACE_SECONDS) == 3


async def test_a_site_without_accounting_is_not_asked_again(watched: Watched) -> None:
    await watched.poll()
    watched.is_forgotten()
    for _ in range(5):
        assert await watched.exit_code() is None
    assert watched.site.asked["accounting"] == 1


async def test_a_job_is_lost_only_after_many_polls_and_a_long_time(watched: Watched) -> None:
    await watched.poll()
    watched.is_forgotten()
    assert await watched.exit_code() is None
    assert await watched.exit_code(LOST_SECONDS + 1) is None, "there were two looks"
    assert await watched.exit_code() == 137


async def test_many_looks_in_a_short_time_lose_nothing(watched: Watched) -> None:
    await watched.poll()
    watched.is_forgotten()
    for _ in range(LOST_SECONDS // 10):
        assert await watched.exit_code() is None
    assert await watched.exit_code() == 137


async def test_a_squeue_that_fails_is_not_one_without_jobs(watched: Watched) -> None:
    await watched.poll()
    watched.site.fails["queue"] = RemoteFailed("squeue failed with exit code 1: slurm_load_jobs error")
    for _ in range(LOST_POLLS):
        assert await watched.exit_code(LOST_SECONDS) is None
    watched.site.fails.clear()
    watched.is_forgotten()
    assert await watched.exit_code() is None


async def test_a_job_that_squeue_shows_again_was_not_gone(watched: Watched) -> None:
    """The backup controller may have known less for a while."""
    await watched.poll()
    watched.is_forgotten()
    for _ in range(LOST_POLLS):
        await watched.poll()
    watched.is_shown(JobState.RUNNING)
    await watched.poll(LOST_SECONDS)
    watched.is_forgotten()
    assert await watched.exit_code() is None
    assert await watched.exit_code() is None


async def test_the_last_record_of_a_job_that_runs_again_is_waited_for_as_well(watched: Watched) -> None:
    """What squeue showed before as its end was that of an earlier run."""
    await watched.poll()
    watched.is_shown(JobState.NODE_FAIL)
    assert await watched.exit_code() is None
    watched.is_shown(JobState.RUNNING)
    assert await watched.exit_code(3600) is None
    watched.is_shown(JobState.FAILED)
    assert await watched.exit_code() is None
    watched.site.folder = [watched.record(ContainerPhase.TERMINATED, 3)]
    assert await watched.exit_code() == 3


async def test_an_unknown_state_in_squeue_changes_nothing(watched: Watched) -> None:
    await watched.poll()
    watched.is_shown(JobState.UNKNOWN)
    assert await watched.exit_code() is None
    assert watched.tracked.job == watched.job


@pytest.mark.parametrize(("earlier", "later"), [(0, 0), (1, 2)], ids=["without numbers", "with numbers"])
async def test_an_older_record_that_is_read_again_does_not_undo_an_end(
    watched: Watched, earlier: int, later: int
) -> None:
    """As when the answer that brought it was lost."""
    watched.site.spool = [watched.record(ContainerPhase.TERMINATED, 3, number=later)]
    assert await watched.exit_code() == 3
    watched.site.spool = [watched.record(ContainerPhase.RUNNING, number=earlier)]
    assert await watched.exit_code() == 3


async def test_a_pod_is_not_over_with_the_first_of_its_containers(watched: Watched) -> None:
    watched.tracked.container_names += ("other",)
    watched.site.spool = [watched.record(ContainerPhase.TERMINATED, 0)]
    await watched.poll()
    watched.is_forgotten()
    await watched.poll()
    assert not watched.tracked.is_over


async def test_a_pod_with_unknown_containers_is_not_over_when_unlisted(
    watched: Watched,
) -> None:
    """Which containers it has, is not known yet."""
    watched.tracked.container_names = ()
    watched.is_forgotten()
    await watched.poll()
    assert not watched.tracked.is_over


async def test_a_second_job_of_the_pod_which_the_fence_has_ended_is_not_its_end(watched: Watched) -> None:
    """Nor is it the pod's job where none is known yet, nor a sign of life once that one is forgotten."""
    second = replace(watched.job, id="6", state=JobState.FAILED)
    watched.tracked.job = None
    watched.site.jobs = (second, watched.job)
    assert await watched.exit_code() is None
    assert watched.tracked.job == watched.job
    watched.site.jobs = (second,)
    for _ in range(LOST_POLLS - 1):
        assert await watched.exit_code() is None
    assert await watched.exit_code(LOST_SECONDS) == 137


@pytest.mark.parametrize("code", [0, 3])
async def test_a_pod_that_ended_while_no_sidecar_ran_keeps_its_end(watched: Watched, code: int) -> None:
    """Slurm forgets jobs after MinJobAge (300 s), and there is no accounting: the record at the site counts."""
    watched.tracked.job = None
    watched.tracked.set_job_id("7")
    watched.tracked.add_record(watched.record(ContainerPhase.TERMINATED, code))
    watched.is_forgotten()
    for _ in range(LOST_POLLS):
        assert await watched.exit_code(LOST_SECONDS) == code
    assert (watched.tracked.run, watched.tracked.final) == (0, True)


async def test_a_record_of_one_container_survives_its_unlisted_job(watched: Watched) -> None:
    watched.tracked.container_names += ("other",)
    watched.tracked.job = None
    watched.tracked.set_job_id("7")
    watched.tracked.add_record(watched.record(ContainerPhase.TERMINATED, 3))
    watched.is_forgotten()
    assert await watched.exit_code() == 3
    assert watched.tracked.run == 0


async def test_a_requeued_run_that_ends_between_two_polls_is_one_requeue(watched: Watched) -> None:
    """squeue showed the job waiting, and then no more: it ran meanwhile."""
    await watched.poll()
    watched.site.spool = [watched.record(ContainerPhase.RUNNING)]
    await watched.poll()
    watched.is_shown(JobState.PENDING)
    await watched.poll()
    assert watched.tracked.run == 1
    watched.is_forgotten()
    watched.site.spool = [replace(watched.record(ContainerPhase.TERMINATED, 3), run=1)]
    assert await watched.exit_code() == 3
    assert await watched.exit_code() == 3


@pytest.mark.parametrize(("deleted", "level"), [(True, "INFO"), (False, "WARNING")])
async def test_a_pod_that_was_deleted_on_purpose_has_not_failed(
    watched: Watched, logged: Logged, level: str, *, deleted: bool
) -> None:
    await watched.poll()
    watched.tracked.deleted = deleted
    watched.site.folder = [watched.record(ContainerPhase.TERMINATED, 143)]
    watched.is_shown(JobState.FAILED)
    await watched.poll()
    (line,) = logged.with_message("pod ended") + logged.with_message("pod failed")
    assert line.level == level


async def test_a_job_id_of_a_client_reveals_nothing_of_another_job() -> None:
    """The annotation JobID comes from the client, which may be limited to its own namespace."""
    watched = Watched()
    stranger = watched.pod_store.add("team-b-1")
    stranger.job = Job("7", JobState.UNKNOWN, pod="team-b-1")
    stranger.known_to_kubelet_only, stranger.container_names = True, ("c",)
    ended = replace(watched.job, state=JobState.FAILED, exit_code=3, submitted=LONG_AGO, pod="")
    for others, sacct in (({}, []), ({"7": ended}, []), ({}, [ended])):
        watched.site.others, watched.site.sacct, watched.site.output = others, sacct, "/elsewhere/job-7.out"
        await watched.poll()
        assert not stranger.is_reportable
        assert stranger.job.state is JobState.UNKNOWN
        watched.is_forgotten()


# --- a task of an array that is cancelled while it waits ---


@pytest.fixture
def task(watched: Watched) -> Watched:
    """Its pod is task 7_1, which waits."""
    watched.tracked.set_job_id("7_1")
    watched.job = replace(watched.job, id="7_1")
    watched.is_shown(JobState.PENDING)
    return watched


@pytest.mark.parametrize("rest", ["7_0", "7"])
async def test_a_task_that_its_array_has_no_more_is_cancelled(task: Watched, rest: str) -> None:
    """Once all tasks that waited are cancelled, squeue shows the array as a job without a task, of no pod."""
    await task.poll()
    task.site.jobs = ()
    task.site.others = {rest: Job(rest, JobState.CANCELLED)}
    assert await task.exit_code() is None
    assert await task.exit_code() is not None
    assert task.tracked.summary().state == "CANCELLED"
    assert task.site.account.fences == {task.tracked.key: "cancelled"}


async def test_a_task_is_not_cancelled_while_squeue_lists_nothing_of_its_array(task: Watched) -> None:
    await task.poll()
    task.site.jobs = (Job("8_1", JobState.PENDING, pod="ns-other"),)
    for _ in range(5):
        assert await task.exit_code() is None


async def test_a_task_that_has_taken_its_fence_is_not_cancelled(task: Watched) -> None:
    await task.poll()
    task.site.jobs = (Job("7_0", JobState.PENDING, pod="ns-other"),)
    task.site.account.fences[task.tracked.key] = "7_1"  # seen by the exclusive create only
    for _ in range(5):
        assert await task.exit_code() is None


async def test_a_task_that_ran_is_not_cancelled(task: Watched) -> None:
    task.is_shown(JobState.RUNNING)
    await task.poll()
    task.site.jobs = (Job("7_0", JobState.PENDING, pod="ns-other"),)
    for _ in range(5):
        assert await task.exit_code() is None
    assert not task.site.account.fences


async def test_an_older_sidecar_cancels_nothing(task: Watched) -> None:
    await task.poll()
    task.site.jobs = (Job("7_0", JobState.PENDING, pod="ns-other"),)
    task.site.other_sidecars = replace(task.site.other_sidecars, newer_mark="1")
    for _ in range(5):
        assert await task.exit_code() is None
