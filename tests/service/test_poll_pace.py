"""While slurmctld is slow, it is asked less often, and records are read as before."""

import asyncio
from collections.abc import Iterator

import pytest

from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poll_pace import LONGEST_SECONDS, PollPace
from remote_slurm.service.poller import Poller
from tests.fake_site import FakeAccount, FakeSite, SlurmJob
from tests.service.logged import Logged
from tests.service.virtual_time import VirtualLoop

SLOW, FAST = "squeue is slow, polling less often", "squeue is fast again, polling as often as before"


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


def asked_within(loop: VirtualLoop, site: FakeSite, poller: Poller, seconds: float) -> tuple[int, int]:
    """How often squeue was called and records were read."""

    async def run() -> None:
        running = asyncio.create_task(poller.run())
        await asyncio.sleep(seconds)
        running.cancel()

    site.asked.clear()
    loop.run_until_complete(run())
    return site.asked["queue"], site.asked["records"]


@pytest.mark.parametrize("fails", ["", "squeue failed with exit code 124: it did not end in time"])
def test_a_slow_squeue_is_called_less_often_until_it_is_fast(loop: VirtualLoop, logged: Logged, fails: str) -> None:
    account = FakeAccount(loop.time)
    site = FakeSite(account)
    account.add(SlurmJob("101", "ns-1", JobState.PENDING))
    poller = Poller(site, PodStore(), 10, loop.time)
    account.squeue_seconds, account.squeue_fails = 6, fails
    asked_within(loop, site, poller, 40)
    polls, reads = asked_within(loop, site, poller, 600)
    assert (polls, poller.current_interval) == (10, pytest.approx(60, abs=1))
    assert reads >= 55
    assert poller.overdue == 0
    account.squeue_seconds, account.squeue_fails = 0.1, ""
    asked_within(loop, site, poller, 70)
    assert asked_within(loop, site, poller, 100)[0] in (10, 11)
    assert [(len(logged.with_message(SLOW)), len(logged.with_message(FAST)))] == [(1, 1)]


@pytest.mark.parametrize(
    ("interval", "took", "seconds"),
    [
        (10, [1, 1, 1], 10),
        (10, [60, 60], 10),  # not for good yet
        (10, [60, 60, 0.2], 10),
        (10, [3, 4, 5], 30),
        (10, [60, 60, 60], 100),
        (120, [10, 10, 10], 120),
        (120, [60, 60, 60], LONGEST_SECONDS),
        (600, [200, 200, 200], 600),
        (1, [0.9, 0.9, 0.9], 1),
        (10, [3, 3, 3, 1.5], 15),
        (10, [3, 3, 3, 0.9], 10),
    ],
)
def test_how_often_is_bounded(interval: float, took: list[float], seconds: float) -> None:
    pace = PollPace()
    for each in took:
        pace.took(each, interval)
    assert pace.seconds(interval) == seconds
