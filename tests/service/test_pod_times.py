"""How long pods waited and ran, and how they ended: each pod counts once, and only for the process that saw it."""

import time
from dataclasses import replace

import pytest

from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.service.pod_times import BUCKETS, MOST_PARTITIONS, Distribution, Outcome, PodTimes
from remote_slurm.service.tracked_pod import TrackedPod
from tests.service.polled_pod import Watched

# Later than the start of the process that counts, however long the tests before this one take
NOW = int(time.time()) + 86400
RUNNING = Job("7", JobState.RUNNING, submitted=NOW - 240, start=NOW, partition="main")
LISTED = [
    (JobState.COMPLETED, Outcome.SUCCEEDED),
    (JobState.FAILED, Outcome.FAILED),
    (JobState.OUT_OF_MEMORY, Outcome.OUT_OF_MEMORY),
    (JobState.TIMEOUT, Outcome.TIME_LIMIT),
    (JobState.DEADLINE, Outcome.TIME_LIMIT),
    (JobState.CANCELLED, Outcome.CANCELLED),
    (JobState.NODE_FAIL, Outcome.NODE_FAILURE),
    (JobState.BOOT_FAIL, Outcome.NODE_FAILURE),
    (JobState.LAUNCH_FAILED, Outcome.NODE_FAILURE),
    (JobState.RECONFIG_FAIL, Outcome.NODE_FAILURE),
    (JobState.PREEMPTED, Outcome.PREEMPTED),
    (JobState.UNKNOWN, Outcome.LOST),
]


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def times(watched: Watched) -> PodTimes:
    return PodTimes(watched.pod_store, watched.poller, lambda: False)


def end(tracked: TrackedPod, state: JobState = JobState.COMPLETED, *, after: int = 60) -> None:
    assert tracked.job is not None
    tracked.job = replace(tracked.job, state=state, end=(tracked.job.start or 0) + after)
    tracked.finalize()


async def test_a_start_and_an_end_count_once(watched: Watched, times: PodTimes) -> None:
    tracked = watched.tracked
    tracked.update_from_squeue(RUNNING)
    for _ in range(2):
        await times.notice()
    assert (times.waited["main"].total, sum(times.waited["main"].counts), times.ran) == (240, 1, {})
    assert (times.take_recent_waits(), times.take_recent_waits()) == ([("main", 240)], [])
    end(tracked)
    for _ in range(2):
        await times.notice()
    watched.pod_store.forget(tracked.key)
    assert (times.ran["main"].total, times.ended) == (60, {Outcome.SUCCEEDED: 1})
    assert sum(times.waited["main"].counts) == 1


async def test_a_job_that_waits_is_not_counted(watched: Watched, times: PodTimes) -> None:
    watched.tracked.update_from_squeue(replace(RUNNING, state=JobState.PENDING))
    await times.notice()
    assert (times.waited, times.ended) == ({}, {})


def test_each_state_in_which_slurm_ends_a_job_has_an_outcome() -> None:
    assert {state for state in JobState if state.phase is JobPhase.ENDED} <= {state for state, _ in LISTED}


@pytest.mark.parametrize(("state", "outcome"), LISTED)
async def test_the_outcome_of_an_end(watched: Watched, times: PodTimes, state: JobState, outcome: Outcome) -> None:
    watched.tracked.update_from_squeue(RUNNING)
    end(watched.tracked, state)
    await times.notice()
    assert times.ended == {outcome: 1}


async def test_a_pod_without_a_job_was_not_submitted(watched: Watched, times: PodTimes) -> None:
    watched.pod_store.add("ns-2").fail("invalid partition")
    await times.notice()
    assert times.ended == {Outcome.NOT_SUBMITTED: 1}


async def test_what_an_earlier_process_has_counted_is_left_out(watched: Watched, times: PodTimes) -> None:
    tracked = watched.tracked
    tracked.update_from_squeue(replace(RUNNING, submitted=1000, start=2000))
    end(tracked)
    tracked.add_record(Record(tracked.key, "c", ContainerPhase.TERMINATED, 2000, 2060, 0, 0))
    await times.notice()
    assert (times.waited, times.ran, times.ended, tracked.ended_here) == ({}, {}, {}, False)


async def test_the_clock_of_the_site_may_be_behind(watched: Watched, times: PodTimes) -> None:
    watched.poller.clock_offset = -3600.0
    watched.tracked.update_from_squeue(replace(RUNNING, submitted=NOW - 3700, start=NOW - 3600))
    await times.notice()
    assert times.waited["main"].total == 100


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.CANCELLED])
async def test_a_deleted_pod_counts_when_it_is_forgotten(watched: Watched, times: PodTimes, state: JobState) -> None:
    watched.tracked.update_from_squeue(RUNNING)
    watched.tracked.deleted = True
    if state is JobState.CANCELLED:
        end(watched.tracked, state)
    watched.pod_store.forget(watched.tracked.key)
    watched.pod_store.forget(watched.tracked.key)
    assert times.ended == {Outcome.DELETED: 1}


async def test_a_superseded_sidecar_leaves_the_counting_to_the_newer_one(watched: Watched) -> None:
    times = PodTimes(watched.pod_store, watched.poller, lambda: "a newer sidecar owns DataRootFolder")
    watched.tracked.update_from_squeue(RUNNING)
    end(watched.tracked)
    await times.notice()
    watched.pod_store.forget(watched.tracked.key)
    assert (times.waited, times.ended) == ({}, {})


async def test_a_pod_that_is_deleted_after_its_end_has_succeeded(watched: Watched, times: PodTimes) -> None:
    watched.tracked.update_from_squeue(RUNNING)
    end(watched.tracked)
    watched.tracked.deleted = True
    watched.pod_store.forget(watched.tracked.key)
    assert times.ended == {Outcome.SUCCEEDED: 1}


async def test_a_job_that_was_cancelled_while_it_waited_has_not_started(watched: Watched, times: PodTimes) -> None:
    watched.tracked.update_from_squeue(RUNNING)
    end(watched.tracked, JobState.CANCELLED, after=0)
    await times.notice()
    assert (times.waited, times.ran, times.ended) == ({}, {}, {Outcome.CANCELLED: 1})


async def test_each_run_of_a_requeued_job_has_waited(watched: Watched, times: PodTimes) -> None:
    watched.tracked.update_from_squeue(RUNNING)
    await times.notice()
    watched.tracked.begin_run(1)
    watched.tracked.update_from_squeue(replace(RUNNING, submitted=NOW + 10, start=NOW + 40))
    await times.notice()
    assert (times.waited["main"].total, sum(times.waited["main"].counts)) == (270, 2)


async def test_the_number_of_partitions_is_bounded(watched: Watched, times: PodTimes) -> None:
    for number in range(MOST_PARTITIONS + 5):
        watched.pod_store.add(f"ns-{number}").update_from_squeue(
            replace(RUNNING, id=str(number), partition=f"p{number}")
        )
    await times.notice()
    assert len(times.waited) == MOST_PARTITIONS + 1
    assert sum(times.waited["other"].counts) == 5


def test_buckets_are_cumulative() -> None:
    durations = Distribution()
    for seconds in (0, 1, 1.5, 60, 10**7):
        durations.add(seconds)
    found = dict(durations.cumulative)
    assert [found[each] for each in ("1.0", "10.0", "60.0", "259200.0", "+Inf")] == [2, 3, 4, 4, 5]
    assert len(found) == len(BUCKETS) + 1
