"""What ended pods have used: sacct is asked once for many, and its answer counts more than what the jobs measured."""

import asyncio
import time
from dataclasses import replace

import pytest

from remote_slurm.domain.job_usage import JobUsage, Source
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_events import pod_events
from remote_slurm.domain.status.pod_usage import pod_usage
from remote_slurm.errors import RemoteFailed
from remote_slurm.service.accounting import USAGE_JOBS, USAGE_SECONDS, USAGE_TRIES, UsageQueries
from remote_slurm.service.pod_times import PodTimes
from tests.service.polled_pod import Watched

NOW = int(time.time()) + 100
ENDED = Job("7", JobState.COMPLETED, submitted=NOW - 240, start=NOW, end=NOW + 3600, partition="main")
SACCT = JobUsage(Source.SACCT, 6912.0, 3600, 16, memory_peak=3 << 30, memory_limit=64 << 30)
MEASURED = JobUsage(Source.CGROUP, 6000.0, 3599, 16, 0, 2 << 30, 64 << 30)


class Asked(Watched):
    def __init__(self) -> None:
        super().__init__()
        self.tracked.update_from_squeue(ENDED)
        self.tracked.add_record(
            Record(self.tracked.key, "c", ContainerPhase.TERMINATED, NOW, NOW + 3600, 0, 0, number=1, usage=MEASURED)
        )
        self.tracked.finalize()
        self.queries = UsageQueries(self.pod_store, self.poller.accounting, lambda: self.now)
        self.times = PodTimes(self.pod_store, self.poller, lambda: False)

    async def ask(self, seconds: float = USAGE_SECONDS) -> int:
        """How often sacct has run, so many seconds later."""
        self.now += seconds
        await self.times.notice()
        await self.queries.ask()
        return self.site.asked["accounting"]

    @property
    def usage_events(self) -> list[str]:
        return [each.message for each in pod_events(self.tracked.summary()) if each.reason == "Usage"]


@pytest.fixture
def asked() -> Asked:
    return Asked()


async def test_the_accounting_is_asked_once_for_a_pod(asked: Asked) -> None:
    asked.site.sacct = [replace(ENDED, usage=SACCT)]
    assert pod_usage(asked.tracked.view()).cpu_seconds == 6000.0
    assert [await asked.ask() for _ in range(3)] == [1, 1, 1]
    found = pod_usage(asked.tracked.view())
    assert (found.cpu_seconds, found.source, found.memory_source) == (6912.0, "sacct", "sacct")
    hints = (
        "the pod reserved 16 CPUs and used 1.9 on average: request fewer; "
        "the pod reserved 64 GiB of memory and used 3 GiB at most: request less"
    )
    assert asked.usage_events == [f"used 12% of 16 CPUs and 3 of 64 GiB; waited 4 min, ran 1 h; {hints}"]


async def test_without_accounting_what_the_job_measured_is_final(asked: Asked) -> None:
    assert asked.usage_events == []
    assert await asked.ask(0) == 1
    assert asked.usage_events[0].startswith("used 10% of 16 CPUs and 2 of 64 GiB; waited 4 min, ran 1 h")
    asked.pod_store.add("ns-2").fail("refused")
    assert await asked.ask() == 1, "a site without accounting is not asked again"


async def test_an_end_that_the_accounting_has_not_yet_is_asked_for_again(asked: Asked) -> None:
    asked.site.sacct = [replace(ENDED, state=JobState.RUNNING)]
    assert await asked.ask() == 1
    assert asked.usage_events == []
    asked.site.sacct = [replace(ENDED, usage=SACCT)]
    assert await asked.ask() == 2
    assert asked.usage_events[0].startswith("used 12%")


async def test_a_job_that_the_accounting_does_not_have_is_given_up(asked: Asked) -> None:
    asked.site.sacct = []
    assert [await asked.ask() for _ in range(USAGE_TRIES + 1)][-1] == USAGE_TRIES
    assert asked.usage_events[0].startswith("used 10%")


async def test_a_sacct_that_fails_is_asked_ever_less_often(asked: Asked) -> None:
    asked.site.sacct = RemoteFailed("sacct failed: slurmdbd is away")
    assert [await asked.ask() for _ in range(4)] == [1, 1, 2, 2]
    assert asked.usage_events[0].startswith("used 10%"), "what the job measured is final"
    asked.pod_store.add("ns-2").update_from_squeue(replace(ENDED, id="8"))
    asked.pod_store.add("ns-2").finalize()
    assert await asked.ask() == 2
    assert asked.pod_store.add("ns-2").usage_is_settled
    for number in range(3, 60):
        asked.pod_store.add(f"ns-{number}").update_from_squeue(replace(ENDED, id=str(number)))
        asked.pod_store.add(f"ns-{number}").finalize()
        await asked.ask()
    assert asked.site.asked["accounting"] < 7


async def test_sacct_is_not_called_twice_at_once(asked: Asked) -> None:
    asked.site.sacct = [replace(ENDED, usage=SACCT)]
    accounting = asked.poller.accounting
    both = await asyncio.gather(accounting.ended([asked.tracked]), accounting.ended([asked.tracked]))
    assert [len(each) for each in both] == [1, 0]


async def test_however_many_pods_end_sacct_runs_once_a_minute(asked: Asked) -> None:
    asked.site.sacct = []
    for number in range(2 * USAGE_JOBS):
        tracked = asked.pod_store.add(f"ns-{number}")
        tracked.update_from_squeue(replace(ENDED, id=str(100 + number)))
        tracked.finalize()
    assert [await asked.ask(10) for _ in range(12)] == [1] * 6 + [2] * 6


async def test_another_job_with_the_same_id_is_not_the_pods(asked: Asked) -> None:
    asked.site.sacct = [replace(ENDED, usage=SACCT, submitted=5, origin="sbatch other.sh")]
    await asked.ask()
    assert pod_usage(asked.tracked.view()).cpu_seconds == 6000.0


async def test_a_pod_that_ended_before_this_process_began_has_no_event(asked: Asked) -> None:
    asked.tracked.ended_here, asked.tracked.end_is_counted = False, True
    await asked.ask()
    assert asked.usage_events == []
