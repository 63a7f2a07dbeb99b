"""How the end of a job becomes known: by squeue, the records in its folder and the accounting; and what is none."""

from dataclasses import replace

import pytest
from watched import Watched

from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.errors import RemoteFailed
from remote_slurm.service.poller import LOST_POLLS, LOST_SECONDS, RECORD_GRACE_SECONDS

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


async def test_an_end_without_a_record_is_one_once_none_can_be_on_its_way_any_more(watched: Watched) -> None:
    await watched.poll()
    watched.is_shown(JobState.COMPLETED)
    assert await watched.exit_code() is None
    assert await watched.exit_code(RECORD_GRACE_SECONDS) == 0


@pytest.mark.parametrize("word", [JobState.RUNNING, JobState.PENDING, JobState.SUSPENDED, JobState.UNKNOWN])
async def test_an_accounting_that_lags_behind_ends_nothing_and_makes_nothing_wait_again(
    watched: Watched, word: JobState
) -> None:
    """slurmdbd may hear of a job's turns minutes later, and of some never."""
    await watched.poll()
    watched.site.spool = [watched.record(ContainerPhase.RUNNING)]
    watched.is_forgotten()
    watched.site.sacct = [Job("7", word)]
    for _ in range(LOST_POLLS):
        assert "running" in await watched.poll()
    assert watched.entry.job == watched.job, "squeue has seen more of it"
    watched.site.sacct = [Job("7", JobState.FAILED, exit_code=3)]
    watched.site.folder = [watched.record(ContainerPhase.TERMINATED, 3)]
    assert await watched.exit_code() == 3


async def test_an_accounting_that_is_away_is_asked_again(watched: Watched) -> None:
    await watched.poll()
    watched.is_forgotten()
    watched.site.sacct = AWAY
    assert await watched.exit_code() is None
    watched.site.sacct = [Job("7", JobState.FAILED, exit_code=3)]
    assert await watched.exit_code() is None, "its record may be on its way"
    assert await watched.exit_code(RECORD_GRACE_SECONDS) == 3


async def test_a_site_without_accounting_is_not_asked_again(watched: Watched) -> None:
    await watched.poll()
    watched.is_forgotten()
    for _ in range(5):
        assert await watched.exit_code() is None
    assert watched.site.asked == 1


async def test_a_job_that_nobody_knows_any_more_is_lost_after_many_looks_and_a_long_time_only(watched: Watched) -> None:
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
    watched.site.squeue = RemoteFailed("squeue failed with exit code 1: slurm_load_jobs error")
    for _ in range(LOST_POLLS):
        assert await watched.exit_code(LOST_SECONDS) is None
    watched.site.squeue = None
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


async def test_a_word_of_squeue_that_nobody_knows_changes_nothing(watched: Watched) -> None:
    await watched.poll()
    watched.is_shown(JobState.UNKNOWN)
    assert await watched.exit_code() is None
    assert watched.entry.job == watched.job


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
    watched.entry.expected |= {"other"}
    watched.site.spool = [watched.record(ContainerPhase.TERMINATED, 0)]
    await watched.poll()
    watched.is_forgotten()
    await watched.poll()
    assert not watched.entry.is_over


async def test_a_pod_that_nobody_has_asked_for_since_the_start_is_not_over_as_soon_as_its_job_is_out_of_sight(
    watched: Watched,
) -> None:
    """Which containers it has, is not known yet."""
    watched.entry.expected = frozenset()
    watched.is_forgotten()
    await watched.poll()
    assert not watched.entry.is_over


async def test_a_second_job_of_the_pod_which_the_fence_has_ended_is_not_its_end(watched: Watched) -> None:
    """Nor is it the pod's job where none is known yet, nor a sign of life once that one is forgotten."""
    second = replace(watched.job, id="6", state=JobState.FAILED)
    watched.entry.job = None
    watched.site.jobs = (second, watched.job)
    assert await watched.exit_code() is None
    assert watched.entry.job == watched.job
    watched.site.jobs = (second,)
    for _ in range(LOST_POLLS - 1):
        assert await watched.exit_code() is None
    assert await watched.exit_code(LOST_SECONDS) == 137
