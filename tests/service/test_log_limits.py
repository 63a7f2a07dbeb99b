"""Followers of silent logs block no other request: limits in all, and for each namespace."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.errors import NotSent
from remote_slurm.service.logs import Logs
from remote_slurm.service.pod_store import PodStore
from remote_slurm.site.operations.log import NoLog, OpenLog
from tests.fake_site import FakeSite


class SilentSite(FakeSite):
    """Every log is there, and nothing is ever written to it."""

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog | NoLog:
        del over, at
        return OpenLog(0, [], self._silence() if what.follow else _nothing())

    async def _silence(self) -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield b""


@pytest.fixture
def logs() -> Logs:
    return Logs(SilentSite(), PodStore())


def follow(logs: Logs, pod: str, container: str = "c") -> AsyncGenerator[bytes, None]:
    return logs.read(LogSlice(pod, container, follow=True))


async def test_a_namespace_follows_three_logs_and_all_of_them_four(logs: Logs) -> None:
    followed = [follow(logs, "a-1", f"c{number}") for number in range(3)]
    assert [await anext(each) for each in followed] == [b""] * 3
    with pytest.raises(NotSent, match="3 logs of namespace a are being followed: end one"):
        await anext(follow(logs, "a-2"))
    other = follow(logs, "b-1")
    assert await anext(other) == b""
    with pytest.raises(NotSent, match="4 logs are being followed"):
        await anext(follow(logs, "c-1"))
    for each in (*followed, other):
        await each.aclose()


async def test_the_log_of_one_container_has_many_followers(logs: Logs) -> None:
    followed = [follow(logs, "a-1") for _ in range(50)]
    for each in followed:
        assert await anext(each) == b""
    with pytest.raises(NotSent, match="50 clients are following logs of namespace a"):
        await anext(follow(logs, "a-1"))
    for each in followed:
        await each.aclose()


async def test_a_follower_that_leaves_makes_room(logs: Logs) -> None:
    for _ in range(10):
        followed = [follow(logs, "a-1", f"c{number}") for number in range(3)]
        for each in followed:
            assert await anext(each) == b""
        for each in followed:
            await each.aclose()


async def test_what_is_only_read_is_never_counted(logs: Logs) -> None:
    followed = [follow(logs, "a-1", f"c{number}") for number in range(3)]
    for each in followed:
        await anext(each)
    assert [data async for data in logs.read(LogSlice("a-2", "c"))] == [b""]
    for each in followed:
        await each.aclose()
