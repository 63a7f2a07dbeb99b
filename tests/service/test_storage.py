"""A home that is full: the ping has no room for pods until a trial succeeds."""

import asyncio
from collections.abc import Iterator

import pytest

from remote_slurm.domain.plan.payload import Payload
from remote_slurm.errors import RemoteFailed, Unreachable
from remote_slurm.service.reconnect_signal import ReconnectSignal
from remote_slurm.service.storage import LONGEST_TRY_SECONDS, TRY_SECONDS, Storage
from remote_slurm.service.submitter import Submission, Submitter
from remote_slurm.service.tracked_pod import TrackedPod
from tests.fake_site import FakeAccount, FakeSite
from tests.service.logged import Logged
from tests.service.virtual_time import VirtualLoop

FULL = "head: write error: No space left on device"


class Home:
    """A site whose home may be full; `run` lets time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.account = FakeAccount(loop.time)
        self.site = FakeSite(self.account)
        self.storage = Storage(self.site, loop.time)
        self.tasks: list[asyncio.Task[None]] = []

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(self._passed(seconds))

    async def _passed(self, seconds: float) -> None:
        self.tasks = self.tasks or [asyncio.create_task(self.storage.run())]
        await asyncio.sleep(seconds)

    def create(self, pod: str) -> TrackedPod:
        tracked = TrackedPod(pod, "ns/p")
        submitter = Submitter(self.site, ReconnectSignal(), clock=self.loop.time, storage=self.storage)

        async def submit() -> None:
            await submitter.submit(Submission(tracked, Payload(pod, b"files")))

        self.tasks.append(self.loop.create_task(submit()))
        return tracked


@pytest.fixture
def home() -> Iterator[Home]:
    loop = VirtualLoop()
    made = Home(loop)
    made.run(0)
    yield made
    for task in made.tasks:
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_storage_failure_shows_within_seconds_and_so_does_its_end(home: Home, logged: Logged) -> None:
    home.account.full = FULL
    home.create("ns-1")
    home.run(3)
    assert home.storage.error == f"DataRootFolder /root cannot be written: {FULL}"
    assert 0 < home.storage.retry_in <= TRY_SECONDS
    home.account.full = ""
    home.run(TRY_SECONDS)
    assert (home.storage.error, home.storage.retry_in) == ("", 0)
    levels = [(line.level, line.message) for line in logged.lines if "stored" in line.message]
    assert levels == [
        ("WARNING", "pods cannot be stored at the site, there is no room for pods until they can"),
        ("INFO", "pods can be stored at the site again"),
    ]


def test_trials_become_seldom_while_the_home_stays_full(home: Home) -> None:
    home.account.full = FULL
    home.storage.suspect(RemoteFailed(FULL))
    home.run(3600)
    assert 3600 / LONGEST_TRY_SECONDS <= home.site.asked["try_store"] <= 3600 / LONGEST_TRY_SECONDS + 4
    assert home.storage.error


def test_pods_that_fail_for_another_reason_keep_no_pod_away(home: Home) -> None:
    for _ in range(60):
        home.storage.suspect(RemoteFailed("the pod's files could not be written at the site"))
        home.run(1)
        assert not home.storage.error
    assert home.site.asked["try_store"] <= 60 / TRY_SECONDS + 1


def test_an_outage_is_no_full_home_and_changes_nothing(home: Home) -> None:
    home.storage.suspect(Unreachable("no route"))
    home.run(1)
    assert home.site.asked["try_store"] == 0
    home.account.full = FULL
    home.storage.suspect(RemoteFailed(FULL))
    home.run(1)
    home.site.down, home.account.full = True, ""
    home.run(TRY_SECONDS)
    assert home.storage.error  # nobody knows better
    home.site.down = False
    home.run(3 * TRY_SECONDS)
    assert not home.storage.error
