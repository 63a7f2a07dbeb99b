"""Two sidecars on one DataRootFolder: the newer one owns it, and the older one again once the newer is silent."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from remote_slurm.config import Config
from remote_slurm.domain.pod.model import CreateRequest, parse_pod
from remote_slurm.errors import SubmissionRefused
from remote_slurm.service.journal import Journal
from remote_slurm.service.owner_watch import WATCH_SECONDS, OwnerWatch
from remote_slurm.service.pods import Pods
from tests.fake_site import FOR_GOOD, FOR_NOW, FakeAccount, FakeSite
from tests.pods import key, pod, request, sh
from tests.service.virtual_time import VirtualLoop

CONFIG = Config.model_validate(
    {"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}, "StateFolder": "/none"}
)


class Two:
    """An older and a newer sidecar, both started."""

    def __init__(self, loop: VirtualLoop, folder: Path) -> None:
        self.account = FakeAccount(loop.time)
        self.lines = [FakeSite(self.account), FakeSite(self.account)]
        self.older, self.newer = (
            Pods(line, CONFIG, Journal(folder / str(number)), clock=loop.time) for number, line in enumerate(self.lines)
        )

    async def start(self) -> None:
        self.older.start()
        await asyncio.sleep(30)
        self.newer.start()
        await asyncio.sleep(35)
        assert self.older.superseded
        assert not self.newer.superseded

    async def stop(self) -> None:
        await self.older.stop()
        await self.newer.stop()


Play = Callable[[Callable[[Two], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a scene with two sidecars, in virtual time."""

    def run(scene: Callable[[Two], Awaitable[None]]) -> None:
        loop = VirtualLoop()

        async def whole() -> None:
            two = Two(loop, tmp_path)
            await two.start()
            await scene(two)
            await two.stop()

        loop.run_until_complete(whole())
        loop.close()

    return run


async def create(pods: Pods) -> str:
    return (await pods.create(CreateRequest.parse(request(pod(sh("c", "true")))))).job_id


def test_both_create_while_both_live_and_the_newer_one_learns_of_it(play: Play) -> None:
    async def scene(two: Two) -> None:
        for _ in range(3):
            bodies = [pod(sh("c", "true")) for _ in range(2)]
            for pods, body in zip((two.older, two.newer), bodies, strict=True):
                assert (await pods.create(CreateRequest.parse(request(body)))).job_id
            for _ in range(2):
                for pods in (two.older, two.newer):
                    reported = pods.status([parse_pod(body, "status") for body in bodies])
                await asyncio.sleep(30)
            assert two.older.superseded
            assert not two.newer.superseded
            for pods in (two.older, two.newer):
                reported = pods.status([parse_pod(body, "status") for body in bodies])
                assert len({each["JID"] for each in reported}) == 2

    play(scene)


def test_a_pod_that_slurm_refuses_for_now_is_left_to_the_newer_one(play: Play) -> None:
    """Only the owner withdraws an attempt: two sidecars could withdraw each other's, and call sbatch twice."""

    async def scene(two: Two) -> None:
        two.account.moods.append(FOR_NOW)
        assert await create(two.older) == ""
        await asyncio.sleep(150)
        (job,) = two.account.jobs
        for pods in (two.older, two.newer):
            assert [tracked.job_id for tracked in pods.pod_store] == [job]

    play(scene)


def test_a_pod_that_slurm_refuses_for_good_fails_with_its_words(play: Play) -> None:
    async def scene(two: Two) -> None:
        two.account.moods.append(FOR_GOOD)
        body = pod(sh("c", "true"))
        with pytest.raises(SubmissionRefused, match="invalid partition"):
            await two.older.create(CreateRequest.parse(request(body)))
        await asyncio.sleep(30)
        (reported,) = two.newer.status([parse_pod(body, "status")])
        assert "invalid partition" in reported["containers"][0]["state"]["terminated"]["message"]
        two.newer.delete(parse_pod(body, "delete"))
        await asyncio.sleep(30)
        assert (two.account.folders, two.account.attempts, two.account.jobs) == ({}, {}, {})

    play(scene)


def test_what_an_older_one_did_before_it_was_killed_is_found(play: Play) -> None:
    """It was killed, and its script went on."""

    async def scene(two: Two) -> None:
        two.account.sbatch_seconds = 30
        creating = asyncio.create_task(create(two.older))
        await asyncio.sleep(1)
        creating.cancel()
        await two.older.stop()
        await asyncio.sleep(200)
        (job,) = two.account.jobs
        assert [tracked.job_id for tracked in two.newer.pod_store] == [job]

    play(scene)


def test_a_delete_that_an_older_one_left_unfinished_is_finished(play: Play) -> None:
    async def scene(two: Two) -> None:
        body = pod(sh("c", "sleep 1000"))
        await two.newer.create(CreateRequest.parse(request(body)))
        two.account.stuck[key(body)] = "Device or resource busy"
        two.older.delete(parse_pod(body, "delete"))
        await asyncio.sleep(1)
        await two.older.stop()
        two.account.stuck.clear()
        await asyncio.sleep(200)
        assert two.account.folders == {}
        assert list(two.newer.pod_store) == []

    play(scene)


def test_an_older_one_without_requests_polls_less(play: Play) -> None:
    async def scene(two: Two) -> None:
        assert two.older.poller.interval == WATCH_SECONDS
        two.older.status([])
        await asyncio.sleep(WATCH_SECONDS)
        two.older.status([])
        await asyncio.sleep(WATCH_SECONDS - 1)
        assert two.older.poller.interval == CONFIG.poll_interval

    play(scene)


def test_the_older_one_takes_over_from_one_that_was_killed(play: Play) -> None:
    async def scene(two: Two) -> None:
        job = await create(two.newer)
        two.lines[1].dead = True
        await two.newer.stop()
        await asyncio.sleep(150)
        assert not two.older.superseded
        assert two.older.recovered
        assert await create(two.older)
        assert [tracked.job_id for tracked in two.older.pod_store if tracked.job_id == job] == [job]

    play(scene)


def test_one_that_was_frozen_rests_when_it_wakes(play: Play) -> None:
    async def scene(two: Two) -> None:
        two.lines[1].down = True  # it reaches nothing, as one that is stopped
        await asyncio.sleep(180)
        assert not two.older.superseded
        two.lines[1].down = False
        await asyncio.sleep(600)
        assert two.newer.superseded
        assert not two.older.superseded

    play(scene)


def test_an_outage_of_the_site_is_no_silence_of_the_newer_one(play: Play) -> None:
    async def scene(two: Two) -> None:
        for line in two.lines:
            line.down = True
        await asyncio.sleep(3600)
        for line in two.lines:
            line.down = False
        await asyncio.sleep(300)
        assert two.older.superseded
        assert not two.newer.superseded

    play(scene)


def test_a_pod_that_the_newer_one_deleted_is_forgotten_by_the_older(play: Play) -> None:
    async def scene(two: Two) -> None:
        body = pod(sh("c", "sleep 1000"))
        await two.newer.stop()  # before the older one notices, which then creates a pod
        await asyncio.sleep(150)
        await two.older.create(CreateRequest.parse(request(body)))
        again = Pods(two.lines[1], CONFIG, Journal(Path("/none")), clock=asyncio.get_running_loop().time)
        again.start()
        await asyncio.sleep(60)
        assert two.older.superseded
        two.account.folders.pop(key(body))
        two.account.fences.pop(key(body), None)
        two.account.ids.pop(key(body), None)
        await again.stop()
        await asyncio.sleep(150)
        assert not two.older.superseded
        assert list(two.older.pod_store) == []

    play(scene)


def test_silence_needs_a_mark_that_was_read_again_and_again() -> None:
    now = 0.0
    watch = OwnerWatch(10, lambda: now)
    for mark, silent in (("1 a", False), ("1 a", False), ("1 a", False), ("1 a", True), ("1 b", False), ("", False)):
        now += 25
        watch.saw(mark)
        assert watch.is_silent is silent
    for _ in range(20):
        now += 60
        watch.saw("")
        assert not watch.is_silent
