"""Work of many who come at once: one by one, with everything else in between."""

import asyncio

from remote_slurm.service.turns import Turns


async def test_what_the_first_has_begun_goes_on_before_the_last_has_its_turn() -> None:
    turns = Turns()
    happened: list[str] = []

    async def begun(name: str) -> None:
        happened.append(f"{name} goes on")

    async def comes(name: str) -> None:
        async with turns.turn():
            happened.append(name)
            going_on.append(asyncio.create_task(begun(name)))

    going_on: list[asyncio.Task[None]] = []
    await asyncio.gather(*(comes(name) for name in "abc"))
    await asyncio.gather(*going_on)
    assert [each for each in happened if len(each) == 1] == ["a", "b", "c"]
    assert happened.index("a goes on") < happened.index("b")
    assert happened.index("b goes on") < happened.index("c")


async def test_a_turn_that_is_given_up_is_the_next_ones() -> None:
    turns = Turns()

    async def comes() -> None:
        async with turns.turn():
            pass

    first, second = asyncio.create_task(comes()), asyncio.create_task(comes())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()
