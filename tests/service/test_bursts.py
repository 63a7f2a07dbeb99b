"""Memory that many creates at once needed goes back to the system."""

import asyncio
import platform
from pathlib import Path

import pytest

from remote_slurm.service.bursts import BURST, Bursts, trim


def resident() -> int:
    """Bytes of this process that are in RAM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what was freed")
def test_holes_between_what_lives_on_go_back_to_the_system() -> None:
    pieces = [bytes(20_000) for _ in range(4000)]
    full = resident()
    del pieces[1::2]
    del pieces[: len(pieces) - 1]  # what lives on lies at the end of the heap
    assert trim()
    assert full - resident() > 40_000_000


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
