"""A job that Slurm runs again: its pod waits again, and nothing of an earlier run is taken for the present one."""

import time

import pytest

from remote_slurm.domain.records import ContainerPhase, Reason, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import STALE_SECONDS, Poller
from remote_slurm.service.tracked_pod import TrackedPod
from tests.service.polled_pod import ScriptedSite

POD = "ns-1"
NOW = int(time.time()) + 3600  # never stale, however long ago this module was read


def began(run: int = 0, name: str = "c", at: int = NOW) -> Record:
    return Record(POD, name, ContainerPhase.RUNNING, at, 0, 0, 0, run=run)


def stopped(run: int = 0, name: str = "c", at: int = NOW) -> Record:
    return Record(POD, name, ContainerPhase.TERMINATED, at, at + 5, 143, 15, "", run, reason=Reason.JOB_STOPPED)


class Requeued:
    """One pod, polled by hand."""

    def __init__(self) -> None:
        self.site = ScriptedSite()
        self.comment = ""
        self.pod_store = PodStore()
        self.tracked = self.pod_store.add(POD)
        self.tracked.container_names = ("c",)
        self.tracked.set_job_id("7")
        self.poller = Poller(self.site, self.pod_store, 10)

    async def poll(self, state: JobState, *records: Record) -> TrackedPod:
        self.site.jobs = (Job("7", state, pod=POD, comment=self.comment),)
        self.site.spool += records
        await self.poller.poll()
        assert not self.poller.error
        return self.tracked


@pytest.fixture
def pod() -> Requeued:
    return Requeued()


async def test_a_requeued_pod_waits_again_and_its_next_run_counts(pod: Requeued) -> None:
    await pod.poll(JobState.RUNNING, began())
    await pod.poll(JobState.COMPLETING, stopped())
    tracked = await pod.poll(JobState.PENDING)
    assert (tracked.records, tracked.run, tracked.is_over) == ({}, 1, False)
    tracked = await pod.poll(JobState.RUNNING, began(1))
    assert tracked.records == {"c": began(1)}
    tracked = await pod.poll(JobState.COMPLETED, Record(POD, "c", ContainerPhase.TERMINATED, NOW, NOW, 0, 0, run=1))
    assert (tracked.is_over, tracked.run) == (True, 1)


async def test_it_can_be_requeued_again_and_again(pod: Requeued) -> None:
    for run in range(3):
        await pod.poll(JobState.RUNNING, began(run))
        tracked = await pod.poll(JobState.PENDING, stopped(run))
        assert (tracked.records, tracked.run) == ({}, run + 1)
        assert (await pod.poll(JobState.PENDING)).run == run + 1


async def test_the_end_of_an_earlier_run_that_arrives_late_is_no_end(pod: Requeued) -> None:
    await pod.poll(JobState.RUNNING, began())
    await pod.poll(JobState.PENDING)
    tracked = await pod.poll(JobState.PENDING, stopped())
    assert tracked.records == {}
    tracked = await pod.poll(JobState.RUNNING, began(1), stopped())
    assert tracked.records == {"c": began(1)}
    assert not tracked.is_complete


async def test_how_the_run_before_ended_is_kept_also_where_that_arrives_late(pod: Requeued) -> None:
    await pod.poll(JobState.RUNNING, began())
    tracked = await pod.poll(JobState.PENDING)
    assert tracked.view().previous_records == {"c": began()}
    for records in ([stopped()], [began()]):
        tracked = await pod.poll(JobState.PENDING, *records)
        assert tracked.view().previous_records == {"c": stopped()}
    tracked = await pod.poll(JobState.RUNNING, began(1))
    assert (tracked.view().previous_records, tracked.records) == ({"c": stopped()}, {"c": began(1)})
    tracked = await pod.poll(JobState.PENDING, stopped(1))
    assert tracked.view().previous_records == {"c": stopped(1)}


async def test_a_run_first_seen_with_its_requeue_is_over_by_the_next_poll(pod: Requeued) -> None:
    """Its record may as well have been that of a run which began after squeue had looked."""
    await pod.poll(JobState.RUNNING)
    tracked = await pod.poll(JobState.PENDING, stopped())
    assert set(tracked.records) == {"c"}
    assert (await pod.poll(JobState.PENDING)).records == {}


async def test_a_run_that_began_while_squeue_looked_is_kept(pod: Requeued) -> None:
    await pod.poll(JobState.RUNNING, began())
    tracked = await pod.poll(JobState.PENDING, began(1))
    assert (tracked.records, tracked.run) == ({"c": began(1)}, 1)
    tracked = await pod.poll(JobState.RUNNING)
    assert (tracked.records, tracked.run) == ({"c": began(1)}, 1)


async def test_records_of_the_next_run_push_out_those_of_the_one_before(pod: Requeued) -> None:
    """Where it was requeued and started again between two looks."""
    await pod.poll(JobState.RUNNING, began(), stopped(name="init"))
    tracked = await pod.poll(JobState.RUNNING, began(1, "init"))
    assert (tracked.records, tracked.run) == ({"init": began(1, "init")}, 1)


async def test_a_squeue_from_a_cache_does_not_undo_a_first_run(pod: Requeued) -> None:
    """It shows the job as waiting for a while after it has started."""
    for _ in range(3):
        tracked = await pod.poll(JobState.PENDING, began())
        assert (tracked.records, tracked.run) == ({"c": began()}, 0)
    assert (await pod.poll(JobState.RUNNING)).records == {"c": began()}


@pytest.mark.parametrize("offset", [-200, 0, 200])
async def test_an_unseen_earlier_run_is_recognised_by_time_with_a_wide_margin(pod: Requeued, offset: float) -> None:
    now = int(time.time())  # the poller's clock is the real one, and this module was read long ago
    pod.site.clock_offset = offset
    pod.tracked.add_record(stopped(at=now - 30))
    assert (await pod.poll(JobState.PENDING)).run == 0
    pod.tracked.records.clear()
    pod.tracked.add_record(stopped(at=now - STALE_SECONDS - 210))
    assert (await pod.poll(JobState.PENDING)).run == 1


async def test_a_job_that_only_waits_was_not_requeued(pod: Requeued) -> None:
    for state in (JobState.PENDING, JobState.CONFIGURING, JobState.PENDING, JobState.RUNNING, JobState.RUNNING):
        assert (await pod.poll(state)).run == 0


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.REQUEUED, JobState.REQUEUE_HOLD, JobState.SPECIAL_EXIT])
async def test_each_way_of_waiting_again(pod: Requeued, state: JobState) -> None:
    await pod.poll(JobState.RUNNING, began())
    assert (await pod.poll(state)).run == 1


async def test_the_comment_of_a_waiting_job_is_of_an_earlier_run(pod: Requeued) -> None:
    """However new it is, and any sidecar has seen that run: nothing of it is fetched from a folder that is gone."""
    pod.site.reports_in_comment = True
    pod.comment = f"at=/tmp/a;c terminated {NOW} {NOW} 3 0 record=2 restarts=0 sorry;over;|"
    for state in (JobState.PENDING, JobState.PENDING, JobState.RUNNING):
        tracked = await pod.poll(state)
        assert (tracked.records, tracked.run, tracked.comment_report) == ({}, 1, None)
        assert tracked.previous_records["c"].message == "sorry"
    pod.comment = f"at=/tmp/b;c running {NOW} 0 0 0 run=1 record=1 restarts=0 ;|"
    tracked = await pod.poll(JobState.RUNNING)
    assert tracked.records["c"].run == tracked.run == 1
    assert tracked.comment_report is not None
    assert tracked.comment_report.folder == "/tmp/b"


async def test_a_folder_that_could_not_be_made_ends_no_requeued_job(pod: Requeued) -> None:
    pod.site.reports_in_comment = True
    pod.comment = "failed=no folder can be made|"
    assert (await pod.poll(JobState.PENDING)).failure == ""
    assert (await pod.poll(JobState.FAILED)).failure == "job 7: no folder can be made"


def test_a_message_that_comes_again_with_its_end_cut_off_stays_whole() -> None:
    whole, cut = (Record(POD, "c", ContainerPhase.TERMINATED, 1, 2, 3, 0, text, number=2) for text in ("sorry", "so"))
    tracked = TrackedPod(POD)
    for record in (cut, whole, cut):
        tracked.add_record(record)
    assert tracked.records["c"] == whole


async def test_a_squeue_that_lags_behind_does_not_undo_the_run_after_a_requeue(pod: Requeued) -> None:
    await pod.poll(JobState.RUNNING, began())
    await pod.poll(JobState.PENDING)
    for _ in range(3):
        tracked = await pod.poll(JobState.PENDING, began(1))
        assert (tracked.records, tracked.run) == ({"c": began(1)}, 1)
