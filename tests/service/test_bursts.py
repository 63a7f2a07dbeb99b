"""Memory that many creates at once needed goes back to the system."""

import asyncio

import pytest

from remote_slurm.service.bursts import BURST, Bursts


async def given_back(*under_way: int) -> int:
    calls: list[None] = []
    bursts = Bursts(lambda: calls.append(None), after=0)
    for count in under_way:
        bursts.count(count)
    await asyncio.sleep(0.01)
    return len(calls)


@pytest.mark.parametrize(
    ("under_way", "times"),
    [
        ((1, 0), 0),
        ((1, BURST - 1, 0), 0),
        ((BURST, 1), 0),
        ((BURST, 1, 0), 1),
        ((BURST, 0, 1, 0), 1),
        ((BURST, 0, BURST, 0), 2),
    ],
)
def test_once_after_the_last_of_many(under_way: tuple[int, ...], times: int) -> None:
    assert asyncio.run(given_back(*under_way)) == times
