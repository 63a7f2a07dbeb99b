"""When the scripts that pods share are looked after."""

import asyncio
from contextlib import suppress

import pytest

from remote_slurm.service.libraries import Libraries
from tests.fake_site import FakeSite, instant_site


async def tries(site: FakeSite, *, pause: float, day: float, at_least: int = 1) -> int:
    """How often the site was asked, as soon as that was `at_least` times, or after a while."""
    running = asyncio.create_task(Libraries(site, pause, day).run())
    with suppress(TimeoutError):
        async with asyncio.timeout(60 if at_least > 1 else 0.5):
            while site.asked["tend_libraries"] < max(2, at_least):  # noqa: ASYNC110 - a counter has no event
                await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return site.asked["tend_libraries"]


async def test_after_a_success_the_next_look_is_a_day_later() -> None:
    assert await tries(instant_site(), pause=0, day=1000) == 1


async def test_the_next_day_it_looks_again() -> None:
    assert await tries(instant_site(), pause=0, day=0, at_least=3) >= 3


@pytest.mark.parametrize("superseded", [False, True], ids=["outage", "superseded"])
async def test_after_a_failure_it_tries_again_soon(*, superseded: bool) -> None:
    site = instant_site()
    if superseded:
        await site.recover()
        await FakeSite(site.account, round_trip=0).recover()
    else:
        site.down = True
    assert await tries(site, pause=0, day=1000, at_least=3) >= 3
