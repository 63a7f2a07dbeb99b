"""The ping's room for pods, after an outage."""

import asyncio
from collections.abc import Iterator

import pytest

from remote_slurm.config import Config
from remote_slurm.domain.slurm.sinfo import Capacity
from remote_slurm.service.capacity import CapacityWatch
from remote_slurm.service.reconnect_signal import ReconnectSignal
from tests.fake_site import FakeAccount, FakeSite
from tests.service.logged import Logged
from tests.service.virtual_time import VirtualLoop

DENIED = "sinfo failed with exit code 1: slurm_load_partitions: Access/permission denied"
NOTHING = {"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}, "StateFolder": "/none"}


class Watching:
    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.site = FakeSite(FakeAccount(capacity=Capacity(nodes=1, cpus=64, memory_mib=1000)), round_trip=1)
        self.returns = ReconnectSignal()
        config = Config.model_validate(NOTHING)
        self.watch = CapacityWatch(self.site, config, self.returns)
        self.task: asyncio.Task[None] | None = None

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(self._passed(seconds))

    async def _passed(self, seconds: float) -> None:
        self.task = self.task or asyncio.create_task(self.watch.run())
        await asyncio.sleep(seconds)

    @property
    def room(self) -> str:
        return str(self.watch.ping(takes_pods=True)["resources"]["pods"])


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
    watching.site.fates.append("cut after")
    watching.run(5)
    assert watching.room == "0"
    watching.returns.notify()
    watching.run(2)
    assert watching.room == "1000"


def test_a_site_that_returns_during_a_failed_question_is_asked_at_once(watching: Watching) -> None:
    watching.site.fates.append("cut after")
    watching.run(0.5)
    watching.returns.notify()
    watching.run(2)
    assert watching.room == "1000"


def test_a_site_that_stays_away_is_asked_now_and_then(watching: Watching) -> None:
    watching.site.down = True
    watching.run(120)
    assert 3 <= watching.site.asked["nodes"] <= 5


def test_returns_of_a_site_with_known_figures_ask_nothing(watching: Watching) -> None:
    for _ in range(5):
        watching.run(10)
        watching.returns.notify()
    assert watching.site.asked["nodes"] == 1


def test_a_site_that_hides_its_nodes_takes_pods(watching: Watching, logged: Logged) -> None:
    """PrivateData=nodes,partitions: sinfo is denied, and sbatch works (Toil's issue 5461)."""
    watching.site.account.sinfo_fails = DENIED
    watching.run(900)
    assert watching.watch.ping(takes_pods=True)["resources"] == {"pods": "1000"}
    assert watching.watch.ping(takes_pods=False)["resources"] == {"pods": "0"}
    (line,) = logged.with_message("cannot read the capacity of the site")
    assert "Access/permission denied" in str(line.fields["reason"])
    assert watching.site.asked["nodes"] <= 6


def test_a_site_that_hides_its_nodes_later_keeps_its_figures(watching: Watching) -> None:
    watching.run(2)
    watching.site.account.sinfo_fails = DENIED
    watching.run(700)
    assert watching.watch.ping(takes_pods=True)["resources"]["cpu"] == "64"


def ping_of(capacity: Capacity | None, script: str = "", **keys: object) -> dict[str, object]:
    """The resources of the ping at a site with this capacity; None: sinfo has not answered yet.

    `script` is what ResourceScriptPath prints.
    """

    async def ping() -> dict[str, object]:
        account = FakeAccount(capacity=capacity or Capacity(), resources=script)
        site = FakeSite(account, down=capacity is None)
        watch = CapacityWatch(site, Config.model_validate(NOTHING | keys), ReconnectSignal())
        await watch.refresh()
        resources: dict[str, object] = watch.ping(takes_pods=True)["resources"]
        return resources

    return asyncio.run(ping())


def test_what_is_not_known_is_left_out() -> None:
    """The Virtual Kubelet would write a 0 over the node's own figure."""
    assert ping_of(None) == {"pods": "0"}
    assert ping_of(None, Resources={"cpu": 5}) == {"cpu": "5", "pods": "0"}


def test_a_factor_lets_surplus_pods_wait_in_slurm() -> None:
    known = Capacity(nodes=1, cpus=64, memory_mib=1000)
    assert ping_of(known) == {"cpu": "64", "memory": "1000Mi", "pods": "1000"}
    assert ping_of(known, CapacityFactor=2.5) == {"cpu": "160", "memory": "2500Mi", "pods": "2500"}
    assert ping_of(known, CapacityFactor=2, Resources={"cpu": 5})["cpu"] == "5"


@pytest.mark.parametrize(
    "text",
    [
        '{"resources": {"cpu": "3", "memory": "5Gi", "pods": "2"}}',
        '{"cpu": "3", "memory": "5Gi", "pods": "2"}',
        '{"status": "ok", "resources": {"cpu": 3, "memory": "5Gi", "pods": 2}}',
    ],
)
def test_a_script_of_the_site_says_what_there_is(text: str) -> None:
    """Quantities are strings in the answer, whatever they are in the script's: Go takes nothing else."""
    found = ping_of(Capacity(), text, ResourceScriptPath="/r")
    assert found == {"cpu": "3", "memory": "5Gi", "pods": "2"}


@pytest.mark.parametrize("text", ["not JSON", "[1]", '{"resources": 3}', ""])
def test_a_script_that_prints_something_else_leaves_the_node_without_room(text: str, logged: Logged) -> None:
    assert ping_of(Capacity(), text, ResourceScriptPath="/r") == {"pods": "0"}
    (line,) = logged.with_message("cannot read the capacity of the site")
    assert str(line.fields["reason"]).startswith("ResourceScriptPath /r ")
