"""The ping's room for pods, after an outage."""

import asyncio
from collections.abc import Iterator

import pytest
from virtual_time import VirtualLoop

from remote_slurm.config import Config
from remote_slurm.domain.slurm import Capacity
from remote_slurm.errors import Unreachable
from remote_slurm.service.capacity import CapacityWatch
from remote_slurm.service.returns import Returns

NOTHING = {"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}, "StateFolder": "/none"}


class Cluster:
    """What a CapacityWatch asks of a site; `away`: it cannot be reached, for so many questions."""

    def __init__(self) -> None:
        self.away = 0
        self.asked = 0

    async def capacity(self) -> Capacity:
        self.asked += 1
        await asyncio.sleep(1)
        if self.away:
            self.away -= 1
            raise Unreachable("no route to the site")
        return Capacity(nodes=1, cpus=64, memory_mib=1000)


class Watching:
    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.cluster = Cluster()
        self.returns = Returns()
        config = Config.model_validate(NOTHING)
        self.watch = CapacityWatch(self.cluster, config, self.returns)  # type: ignore[arg-type]
        self.task: asyncio.Task[None] | None = None

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(self._passed(seconds))

    async def _passed(self, seconds: float) -> None:
        self.task = self.task or asyncio.create_task(self.watch.run())
        await asyncio.sleep(seconds)

    @property
    def room(self) -> str:
        return str(self.watch.ping(reachable=True)["resources"]["pods"])


@pytest.fixture
def watching() -> Iterator[Watching]:
    loop = VirtualLoop()
    made = Watching(loop)
    yield made
    if made.task:
        made.task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_there_is_room_as_soon_as_the_site_is_back(watching: Watching) -> None:
    watching.cluster.away = 1
    watching.run(5)
    assert watching.room == "0"
    watching.returns.happened()
    watching.run(2)
    assert watching.room == "1000"


def test_a_site_that_comes_back_while_it_is_asked_in_vain_is_asked_again_at_once(watching: Watching) -> None:
    watching.cluster.away = 1
    watching.run(0.5)
    watching.returns.happened()
    watching.run(2)
    assert watching.room == "1000"


def test_a_site_that_stays_away_is_asked_now_and_then(watching: Watching) -> None:
    watching.cluster.away = 10
    watching.run(120)
    assert 3 <= watching.cluster.asked <= 5


def test_a_site_that_told_its_figures_is_not_asked_more_often_for_its_returns(watching: Watching) -> None:
    for _ in range(5):
        watching.run(10)
        watching.returns.happened()
    assert watching.cluster.asked == 1
