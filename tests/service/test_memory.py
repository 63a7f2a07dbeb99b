"""Freed memory: returned to the system after a burst of submissions, and reused for the next chunk of a log."""

import asyncio
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from remote_slurm.service.process_tuning import AFTER_SECONDS, BURST, MemoryTrim, trim
from tests.service.virtual_time import VirtualLoop

only_with_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps free memory")

# Pages that the kernel has to bring for 20 times 20 chunks of a mebibyte, in a process of its own
FAULTS = """
import resource, sys
from remote_slurm.service.process_tuning import keep_log_chunks
if sys.argv[1] == "kept":
    assert keep_log_chunks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    chunks = [bytearray(1024 * 1024) for _ in range(20)]
    del chunks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

# How often the garbage collector runs while 40,000 objects come into being that stay, in a process of its own
COLLECTIONS = """
import gc, sys
from remote_slurm.service.process_tuning import collect_rarely
if sys.argv[1] == "rarely":
    collect_rarely()
before = sum(each["collections"] for each in gc.get_stats())
kept = [[] for _ in range(40_000)]
print(sum(each["collections"] for each in gc.get_stats()) - before)
"""


def resident() -> int:
    """Bytes of this process that are in RAM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


def counted(program: str, how: str) -> int:
    """What a program prints."""
    run = subprocess.run([sys.executable, "-c", program, how], check=True, capture_output=True, text=True)
    return int(run.stdout)


def trims(*under_way: int) -> int:
    """How often memory was trimmed some seconds later."""
    calls: list[None] = []

    async def count() -> None:
        memory_trim = MemoryTrim(lambda: calls.append(None))
        for number in under_way:
            memory_trim.count(number)
        await asyncio.sleep(AFTER_SECONDS + 1)

    loop = VirtualLoop()
    loop.run_until_complete(count())
    loop.close()
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
def test_memory_is_trimmed_once_after_the_last_of_a_burst(under_way: tuple[int, ...], times: int) -> None:
    assert trims(*under_way) == times


@only_with_glibc
def test_free_memory_between_live_objects_returns_to_the_system() -> None:
    pieces = [bytes(20_000) for _ in range(4000)]
    full = resident()
    del pieces[1::2]
    del pieces[: len(pieces) - 1]  # the live object is at the end of the heap
    assert trim()
    assert full - resident() > 40_000_000


@only_with_glibc
def test_log_chunks_reuse_the_same_memory() -> None:
    assert counted(FAULTS, "kept") < counted(FAULTS, "as it was") / 4


def test_garbage_is_collected_rarely_while_many_requests_are_answered() -> None:
    assert counted(COLLECTIONS, "rarely") <= 2
    assert counted(COLLECTIONS, "as by default") > 20
