"""The last hours of the pods: bounded samples, which those of several accounts add to."""

from collections import Counter
from types import SimpleNamespace

import pytest

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_summary import PodPhase
from remote_slurm.service.history import (
    EVERY_SECONDS,
    KEPT_SAMPLES,
    SHOWN_PARTITIONS,
    History,
    Mean,
    Sample,
    history_json,
)
from remote_slurm.service.pod_store import PodStore

START = 1_800_000_000.0


class Known:
    """A history of pods that a test puts into the store, and its clock."""

    def __init__(self) -> None:
        self.now = START
        self.store = PodStore()
        self.latencies: list[float] = []
        self.waits: list[tuple[str, int]] = []
        times = SimpleNamespace(take_recent_waits=self._waits)
        submissions = SimpleNamespace(take_latencies=self._latencies)
        self.history = History(self.store, times, submissions, lambda: self.now)  # type: ignore[arg-type]

    def _waits(self) -> list[tuple[str, int]]:
        taken, self.waits = self.waits, []
        return taken

    def _latencies(self) -> list[float]:
        taken, self.latencies = self.latencies, []
        return taken

    def pods(self, *states: JobState) -> None:
        for number, state in enumerate(states):
            self.store.add(f"ns-{number}").update_from_squeue(Job(str(number), state))

    async def minute(self) -> None:
        self.now += EVERY_SECONDS
        await self.history.sample()


@pytest.fixture
def known() -> Known:
    return Known()


async def test_a_sample_has_the_pods_and_what_happened_since_the_last_one(known: Known) -> None:
    known.pods(JobState.RUNNING, JobState.PENDING, JobState.PENDING, JobState.COMPLETED)
    known.store.add("ns-9").fail("refused")
    known.latencies, known.waits = [0.5, 1.0], [("gpu", 60), ("gpu", 120), ("main", 4)]
    await known.minute()
    await known.minute()
    assert history_json([known.history]) == {
        "since": START,
        "everySeconds": 60,
        "keptSeconds": 21600,
        "times": [START + 60, START + 120],
        "pods": {"waiting": [2, 2], "running": [1, 1], "failed": [1, 1]},
        "submitSeconds": [0.75, None],
        "waitSeconds": {"gpu": [90.0, None], "main": [4.0, None]},
    }


async def test_memory_is_bounded_by_the_number_of_samples(known: Known) -> None:
    for _ in range(KEPT_SAMPLES + 20):
        await known.minute()
    reported = history_json([known.history])
    assert len(reported["times"]) == len(reported["submitSeconds"]) == KEPT_SAMPLES
    assert reported["times"][0] == START + 21 * EVERY_SECONDS


async def test_a_process_that_has_just_started_has_no_sample(known: Known) -> None:
    reported = history_json([known.history])
    assert (reported["times"], reported["waitSeconds"], reported["since"]) == ([], {}, START)


def test_accounts_add_up_minute_by_minute() -> None:
    one, other = Known(), Known()
    other.now += 90
    one.history.samples += [
        Sample(1, Counter({PodPhase.RUNNING: 2}), Mean(1, 1.0), {"main": Mean(1, 10.0)}),
        Sample(2, Counter({PodPhase.RUNNING: 3})),
    ]
    other.history.samples.append(Sample(1, Counter({PodPhase.RUNNING: 5}), Mean(3, 9.0), {"main": Mean(1, 30.0)}))
    reported = history_json([one.history, other.history])
    assert (reported["times"], reported["pods"]["running"]) == ([60, 120], [7, 3])
    assert (reported["submitSeconds"], reported["waitSeconds"]) == ([2.5, None], {"main": [20.0, None]})


def test_of_many_partitions_the_busiest_have_a_line_and_the_others_one() -> None:
    known = Known()
    waits = {f"p{number:02}": Mean(100 - number, (100.0 - number) * 60) for number in range(SHOWN_PARTITIONS + 2)}
    known.history.samples.append(Sample(1, waits={**waits, "other": Mean(1, 240.0)}))
    reported = history_json([known.history])["waitSeconds"]
    assert list(reported) == [*(f"p{number:02}" for number in range(SHOWN_PARTITIONS)), "other"]
    assert reported["other"] == [pytest.approx((92 * 60 + 91 * 60 + 240) / 184, abs=0.01)]
