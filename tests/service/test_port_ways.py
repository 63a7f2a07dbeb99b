"""Which way a connection takes to the port of a node, at a site that the test makes up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from remote_slurm.config import Via
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import Code, PortUnreachable
from remote_slurm.service.port_ways import PortWays, Target
from tests.fake_site import FakeSite, SlurmJob, instant_site
from tests.local_ports import echo, listening

TARGET = Target("101", "n1", 8888)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def site() -> FakeSite:
    return instant_site(SlurmJob("101", "team-x", JobState.RUNNING, node="n1"))


@contextlib.asynccontextmanager
async def program(site: FakeSite, *, loopback: bool = False) -> AsyncIterator[None]:
    async with listening(echo) as local:
        (site.account.loopback_ports if loopback else site.account.ports)["n1", 8888] = local
        yield


async def connect(ways: PortWays) -> None:
    stream = await ways.open(TARGET, ways.guess(TARGET))
    await stream.write(b"hello")
    assert await stream.read() == b"hello"
    stream.close()


async def test_a_port_that_the_login_node_reaches_needs_no_step(site: FakeSite) -> None:
    async with program(site):
        await connect(PortWays(site, Via.AUTO))
    assert site.asked == {"port": 1}


@pytest.mark.parametrize("code", [Code.FORWARDING_PROHIBITED, Code.NO_ANSWER])
async def test_a_site_that_forwards_nothing_is_remembered_for_a_while(site: FakeSite, code: Code) -> None:
    ways = PortWays(site, Via.AUTO, clock := Clock())
    site.account.forwards = code
    async with program(site):
        for _ in range(3):
            await connect(ways)
        assert (site.asked["port"], site.asked["port_in_job"]) == (1, 3)
        assert ways.guess(Target("102", "n2", 8888)) is None
        site.account.forwards = None
        clock.now += 601
        await connect(ways)
    assert (site.asked["port"], site.asked["port_in_job"]) == (2, 3)


async def test_a_program_on_the_loopback_address_is_remembered_alone(site: FakeSite) -> None:
    ways = PortWays(site, Via.AUTO)
    async with program(site, loopback=True):
        await connect(ways)
        await connect(ways)
    assert (site.asked["port"], site.asked["port_in_job"]) == (1, 2)
    with pytest.raises(PortUnreachable):
        await ways.open(Target("101", "n1", 9999))
    assert (site.asked["port"], site.asked["port_in_job"]) == (2, 3)


async def test_a_port_where_nothing_listens_is_asked_by_both_ways_each_time(site: FakeSite) -> None:
    ways = PortWays(site, Via.AUTO)
    for count in (1, 2):
        with pytest.raises(PortUnreachable, match="nothing listens on port 8888 of n1") as error:
            await ways.open(TARGET, ways.guess(TARGET))
        assert error.value.code is Code.CONNECT_FAILED
        assert (site.asked["port"], site.asked["port_in_job"]) == (count, count)


@pytest.mark.parametrize("via", [Via.AUTO, Via.SRUN])
async def test_a_port_where_nothing_listens_takes_one_step_in_some_seconds(site: FakeSite, via: Via) -> None:
    """A client that waits for a notebook to start asks every second; a step of an earlier connection costs nothing."""
    ways = PortWays(site, via, clock := Clock())
    for second in range(12):
        site.steps.clear()
        with pytest.raises(PortUnreachable, match=r"^nothing listens on port 8888 of n1$") as error:
            await ways.open(TARGET, ways.guess(TARGET))
        assert error.value.code is Code.CONNECT_FAILED
        clock.now += 1
        assert site.asked["port_in_job"] == 1 + second // 5
    async with program(site, loopback=True):
        site.steps.add("101")
        await connect(ways)
        site.steps.clear()
        await connect(ways)


async def test_both_reasons_are_named_if_no_step_starts(site: FakeSite) -> None:
    site.account.forwards, site.account.steps_fail = Code.FORWARDING_PROHIBITED, "srun: not found"
    with pytest.raises(PortUnreachable, match="the login node forwards nothing; srun: not found") as error:
        await PortWays(site, Via.AUTO).open(TARGET)
    assert error.value.code is Code.FORWARDING_PROHIBITED


async def test_a_site_where_no_step_starts_any_more_is_asked_directly_again(site: FakeSite) -> None:
    ways = PortWays(site, Via.AUTO)
    site.account.forwards = Code.FORWARDING_PROHIBITED
    async with program(site):
        await connect(ways)
        site.account.forwards, site.account.steps_fail = None, "no step"
        await connect(ways)
        site.account.forwards = Code.FORWARDING_PROHIBITED
        with pytest.raises(PortUnreachable, match="the login node forwards nothing; no step"):
            await connect(ways)


async def test_ssh_starts_no_step_and_srun_asks_the_login_node_for_nothing(site: FakeSite) -> None:
    async with program(site, loopback=True):
        with pytest.raises(PortUnreachable):
            await connect(PortWays(site, Via.SSH))
        await connect(PortWays(site, Via.SRUN))
    assert site.asked == {"port": 1, "port_in_job": 1}


async def test_no_step_is_started_before_it_is_certain_that_the_job_runs(site: FakeSite) -> None:
    ways = PortWays(site, Via.SRUN)
    async with program(site):
        assert await ways.open_in_step(TARGET) is None
        assert ways.guess(TARGET) is None
        await connect(ways)
        stream = await ways.open_in_step(TARGET)
        assert stream
        stream.close()
        site.account.end(site.account.jobs["101"], JobState.COMPLETED)  # and its steps with it
        assert await ways.open_in_step(TARGET) is None
    assert site.asked == {"port_in_job": 1, "port_in_step": 1}


async def test_a_step_is_not_the_way_where_the_login_node_forwards(site: FakeSite) -> None:
    ways = PortWays(site, Via.AUTO)
    site.steps.add("101")
    async with program(site):
        assert await ways.open_in_step(TARGET) is None
        await connect(ways)
    assert site.asked == {"port": 1}


async def test_a_guess_overtaken_by_a_connection_takes_the_other_way(site: FakeSite) -> None:
    ways = PortWays(site, Via.AUTO)
    site.account.forwards = Code.FORWARDING_PROHIBITED
    async with program(site):
        guesses = [ways.guess(TARGET) for _ in range(3)]
        streams = [await ways.open(TARGET, guess) for guess in guesses]
        for stream in streams:
            stream.close()
        await asyncio.sleep(0)
