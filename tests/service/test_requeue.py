"""A job that Slurm runs again: its pod waits again, and nothing of an earlier run is taken for the present one."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from remote_slurm.domain.records import STOPPED, ContainerPhase, Record
from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.remote.site import Queue, Settled
from remote_slurm.service.entries import Entries, Entry
from remote_slurm.service.poller import STALE_SECONDS, Poller

POD = "ns-1"
NOW = int(time.time()) + 3600  # never stale, however long ago this module was read


def began(run: int = 0, name: str = "c", at: int = NOW) -> Record:
    return Record(POD, name, ContainerPhase.RUNNING, at, 0, 0, 0, run=run)


def stopped(run: int = 0, name: str = "c", at: int = NOW) -> Record:
    return Record(POD, name, ContainerPhase.TERMINATED, at, at + 5, 143, 15, STOPPED, run)


@dataclass
class FakeSite:
    """Answers with what the test has put there."""

    state: JobState = JobState.PENDING
    fresh: list[Record] = field(default_factory=list)
    offset: float = 0
    shared_fs: bool = True
    comment: str = ""

    async def queue(self) -> Queue:
        return Queue((Job("7", self.state, pod=POD, comment=self.comment),), self.offset)

    async def records(self) -> list[Record]:
        fresh, self.fresh = self.fresh, []
        return fresh

    async def settle(self, pods: Iterable[str]) -> Settled:
        assert list(pods) == [POD]
        return Settled((), frozenset())


class Watched:
    """One pod, polled by hand."""

    def __init__(self) -> None:
        self.site = FakeSite()
        self.entries = Entries()
        self.entry = self.entries.add(POD)
        self.entry.expected = frozenset({"c"})
        self.entry.has_job("7")
        self.poller = Poller(self.site, self.entries, 10)  # type: ignore[arg-type]

    async def poll(self, state: JobState, *records: Record) -> Entry:
        self.site.state = state
        self.site.fresh += records
        await self.poller.poll()
        assert not self.poller.error
        return self.entry


@pytest.fixture
def pod() -> Watched:
    return Watched()


async def test_a_requeued_pod_waits_again_and_its_next_run_counts(pod: Watched) -> None:
    await pod.poll(JobState.RUNNING, began())
    await pod.poll(JobState.COMPLETING, stopped())
    entry = await pod.poll(JobState.PENDING)
    assert (entry.records, entry.run, entry.is_over) == ({}, 1, False)
    entry = await pod.poll(JobState.RUNNING, began(1))
    assert entry.records == {"c": began(1)}
    entry = await pod.poll(JobState.COMPLETED, Record(POD, "c", ContainerPhase.TERMINATED, NOW, NOW, 0, 0, run=1))
    assert (entry.is_over, entry.run) == (True, 1)


async def test_it_can_be_requeued_again_and_again(pod: Watched) -> None:
    for run in range(3):
        await pod.poll(JobState.RUNNING, began(run))
        entry = await pod.poll(JobState.PENDING, stopped(run))
        assert (entry.records, entry.run) == ({}, run + 1)
        assert (await pod.poll(JobState.PENDING)).run == run + 1


async def test_the_end_of_an_earlier_run_that_arrives_late_is_no_end(pod: Watched) -> None:
    await pod.poll(JobState.RUNNING, began())
    await pod.poll(JobState.PENDING)
    entry = await pod.poll(JobState.PENDING, stopped())
    assert entry.records == {}
    entry = await pod.poll(JobState.RUNNING, began(1), stopped())
    assert entry.records == {"c": began(1)}
    assert not entry.is_complete


async def test_how_the_run_before_ended_is_kept_also_where_that_arrives_late(pod: Watched) -> None:
    await pod.poll(JobState.RUNNING, began())
    entry = await pod.poll(JobState.PENDING)
    assert entry.view().before == {"c": began()}
    for records in ([stopped()], [began()]):
        entry = await pod.poll(JobState.PENDING, *records)
        assert entry.view().before == {"c": stopped()}
    entry = await pod.poll(JobState.RUNNING, began(1))
    assert (entry.view().before, entry.records) == ({"c": stopped()}, {"c": began(1)})
    entry = await pod.poll(JobState.PENDING, stopped(1))
    assert entry.view().before == {"c": stopped(1)}


async def test_a_run_that_is_first_heard_of_with_the_requeue_is_over_by_the_next_look(pod: Watched) -> None:
    """Its record may as well have been that of a run which began after squeue had looked."""
    await pod.poll(JobState.RUNNING)
    entry = await pod.poll(JobState.PENDING, stopped())
    assert set(entry.records) == {"c"}
    assert (await pod.poll(JobState.PENDING)).records == {}


async def test_a_run_that_began_while_squeue_looked_is_kept(pod: Watched) -> None:
    await pod.poll(JobState.RUNNING, began())
    entry = await pod.poll(JobState.PENDING, began(1))
    assert (entry.records, entry.run) == ({"c": began(1)}, 1)
    entry = await pod.poll(JobState.RUNNING)
    assert (entry.records, entry.run) == ({"c": began(1)}, 1)


async def test_records_of_the_next_run_push_out_those_of_the_one_before(pod: Watched) -> None:
    """Where it was requeued and started again between two looks."""
    await pod.poll(JobState.RUNNING, began(), stopped(name="init"))
    entry = await pod.poll(JobState.RUNNING, began(1, "init"))
    assert (entry.records, entry.run) == ({"init": began(1, "init")}, 1)


async def test_a_squeue_from_a_cache_does_not_undo_a_first_run(pod: Watched) -> None:
    """It shows the job as waiting for a while after it has started."""
    for _ in range(3):
        entry = await pod.poll(JobState.PENDING, began())
        assert (entry.records, entry.run) == ({"c": began()}, 0)
    assert (await pod.poll(JobState.RUNNING)).records == {"c": began()}


@pytest.mark.parametrize("offset", [-200, 0, 200])
async def test_a_sidecar_that_has_not_seen_the_earlier_run_goes_by_time_with_a_wide_margin(
    pod: Watched, offset: float
) -> None:
    now = int(time.time())  # the poller's clock is the real one, and this module was read long ago
    pod.site.offset = offset
    pod.entry.take(stopped(at=now - 30))
    assert (await pod.poll(JobState.PENDING)).run == 0
    pod.entry.records.clear()
    pod.entry.take(stopped(at=now - STALE_SECONDS - 210))
    assert (await pod.poll(JobState.PENDING)).run == 1


async def test_a_job_that_only_waits_was_not_requeued(pod: Watched) -> None:
    for state in (JobState.PENDING, JobState.CONFIGURING, JobState.PENDING, JobState.RUNNING, JobState.RUNNING):
        assert (await pod.poll(state)).run == 0


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.REQUEUED, JobState.REQUEUE_HOLD, JobState.SPECIAL_EXIT])
async def test_each_way_of_waiting_again(pod: Watched, state: JobState) -> None:
    await pod.poll(JobState.RUNNING, began())
    assert (await pod.poll(state)).run == 1


async def test_what_the_comment_of_a_job_tells_that_waits_is_of_an_earlier_run(pod: Watched) -> None:
    """However new it is, and whoever has seen that run: nothing of it is fetched from a folder that is gone."""
    pod.site.shared_fs = False
    pod.site.comment = f"at=/tmp/a;c terminated {NOW} {NOW} 3 0 record=2 restarts=0 sorry;over;|"
    for state in (JobState.PENDING, JobState.PENDING, JobState.RUNNING):
        entry = await pod.poll(state)
        assert (entry.records, entry.run, entry.standing) == ({}, 1, None)
        assert entry.before["c"].message == "sorry"
    pod.site.comment = f"at=/tmp/b;c running {NOW} 0 0 0 run=1 record=1 restarts=0 ;|"
    entry = await pod.poll(JobState.RUNNING)
    assert entry.records["c"].run == entry.run == 1
    assert entry.standing is not None
    assert entry.standing.folder == "/tmp/b"


async def test_a_folder_that_could_not_be_made_is_no_end_of_a_job_that_slurm_runs_again(pod: Watched) -> None:
    pod.site.shared_fs = False
    pod.site.comment = "failed=no folder can be made|"
    assert (await pod.poll(JobState.PENDING)).failure == ""
    assert (await pod.poll(JobState.FAILED)).failure == "job 7: no folder can be made"


def test_a_message_that_comes_again_with_its_end_cut_off_stays_whole() -> None:
    whole, cut = (Record(POD, "c", ContainerPhase.TERMINATED, 1, 2, 3, 0, text, number=2) for text in ("sorry", "so"))
    entry = Entry(POD)
    for record in (cut, whole, cut):
        entry.take(record)
    assert entry.records["c"] == whole
