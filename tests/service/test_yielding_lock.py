"""A lock for work that blocks the event loop: every task that is ready runs between two holders."""

import asyncio

from remote_slurm.service.process_tuning import YieldingLock


async def test_a_task_that_a_holder_starts_runs_before_the_next_holder() -> None:
    lock = YieldingLock()
    happened: list[str] = []

    async def follow_up(name: str) -> None:
        happened.append(f"{name} goes on")

    async def hold(name: str) -> None:
        async with lock.turn():
            happened.append(name)
            follow_ups.append(asyncio.create_task(follow_up(name)))

    follow_ups: list[asyncio.Task[None]] = []
    await asyncio.gather(*(hold(name) for name in "abc"))
    await asyncio.gather(*follow_ups)
    assert [each for each in happened if len(each) == 1] == ["a", "b", "c"]
    assert happened.index("a goes on") < happened.index("b")
    assert happened.index("b goes on") < happened.index("c")


async def test_a_cancelled_waiter_leaves_the_lock_to_the_next_one() -> None:
    lock = YieldingLock()

    async def hold() -> None:
        async with lock.turn():
            pass

    first, second = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
