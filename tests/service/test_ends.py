"""How the end of a job becomes known: by squeue, the records in its folder and the accounting; and what is none."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from pods import Json, key, pod, sh

from remote_slurm.domain.pod import parse_pod
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.domain.status import pod_status, reported_names
from remote_slurm.errors import RemoteFailed, SiteError
from remote_slurm.remote.site import Queue, Settled
from remote_slurm.service.entries import Entries
from remote_slurm.service.poller import LOST_POLLS, LOST_SECONDS, RECORD_GRACE_SECONDS, Poller

DISABLED = RemoteFailed("sacct failed: Slurm accounting storage is disabled")
AWAY = RemoteFailed("sacct failed: sacct: error: slurm_persist_conn_open: Unable to connect to slurmdbd")
LONG_AGO = 1_700_000_000


@dataclass
class FakeSite:
    """Answers with what the test has put there; an error is raised."""

    jobs: tuple[Job, ...] = ()
    spool: list[Record] = field(default_factory=list)
    folder: list[Record] = field(default_factory=list)
    sacct: list[Job] | SiteError = DISABLED
    squeue: SiteError | None = None
    asked: int = 0  # how often the accounting was
    shared_fs: bool = True

    async def queue(self) -> Queue:
        if self.squeue:
            raise self.squeue
        return Queue(self.jobs, 0)

    async def records(self) -> list[Record]:
        taken, self.spool = self.spool, []
        return taken

    async def settle(self, pods: Iterable[str]) -> Settled:
        asked = set(pods)
        return Settled(tuple(record for record in self.folder if record.pod in asked), frozenset())

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        self.asked += 1
        if isinstance(self.sacct, SiteError):
            raise self.sacct
        asked = set(job_ids)
        return [job for job in self.sacct if job.id in asked]


class Watched:
    """A pod with job 7, which squeue shows as running; its poller's clock stands still between polls."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.body: Json = pod(sh("c", "true"))
        self.job = Job("7", JobState.RUNNING, pod=key(self.body))
        self.site = FakeSite((self.job,))
        self.entries = Entries()
        self.entry = self.entries.add(key(self.body))
        self.entry.expected = reported_names(parse_pod(self.body, "a test"))
        self.entry.has_job("7")
        self.poller = Poller(self.site, self.entries, 10, lambda: self.now)  # type: ignore[arg-type]

    def record(self, phase: ContainerPhase, code: int = 0, number: int = 0) -> Record:
        return Record(key(self.body), "c", phase, LONG_AGO, LONG_AGO, code, 0, number=number)

    def is_shown(self, state: JobState) -> None:
        self.site.jobs = (replace(self.job, state=state),)

    def is_forgotten(self) -> None:
        self.site.jobs = ()

    async def poll(self, seconds: float = 10) -> dict[str, Any]:
        """How its container stands so long after the last look."""
        self.now += seconds
        await self.poller.poll()
        state: dict[str, Any] = pod_status(parse_pod(self.body, "a test"), self.entry.view())["containers"][0]["state"]
        return state

    async def exit_code(self, seconds: float = 10) -> int | None:
        """None where it has not ended."""
        state = await self.poll(seconds)
        return state["terminated"]["exitCode"] if "terminated" in state else None


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
