"""Memory of what was freed: used again for the next piece of a log, and given back when it is asked for."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from remote_slurm.service.malloc import trim

only_with_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what was freed")

# Pages that the system has to bring for 20 times 20 pieces of a mebibyte, in a process of its own
FAULTS = """
import resource, sys
from remote_slurm.service.malloc import keep_pieces
if sys.argv[1] == "kept":
    assert keep_pieces()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    pieces = [bytearray(1024 * 1024) for _ in range(20)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def resident() -> int:
    """Bytes of this process that are in RAM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


@only_with_glibc
def test_holes_between_what_lives_on_go_back_to_the_system() -> None:
    pieces = [bytes(20_000) for _ in range(4000)]
    full = resident()
    del pieces[1::2]
    del pieces[: len(pieces) - 1]  # what lives on lies at the end of the heap
    assert trim()
    assert full - resident() > 40_000_000


def faults(how: str) -> int:
    run = subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True)
    return int(run.stdout)


@only_with_glibc
def test_pieces_use_the_same_memory_again() -> None:
    assert faults("kept") < faults("as it was") / 4
