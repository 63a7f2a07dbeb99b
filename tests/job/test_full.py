"""A pod whose containers fill the file system of its folder: its end and the reason are reported."""

import contextlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.job.node import POD, Node, sh, until


def test_a_pod_that_fills_its_disk_keeps_its_exit_code(small: Path) -> None:
    node = Node(small)
    # the record of the other container replaces an earlier one, which would leave room again
    until_side_runs = f"until grep -q running {node.control}/spool/{POD}.side; do sleep 0.05; done"
    fill = sh(f"{until_side_runs}; dd if=/dev/zero of=fill bs=4k 2>/dev/null; exit 3")
    assert node.run(f"container main {fill}\ncontainer side sleep 1").code == 3
    main = node.ended("main")
    assert main.exit_code == 3
    assert "no space, or no quota" in main.message
    assert node.ended("side").exit_code == 0


@pytest.mark.parametrize("kind", ["bytes", "files"])
def test_a_pod_on_a_full_file_system_can_be_stopped(small: Path, kind: str) -> None:
    """Users delete pods to make room: then above all they have their grace period."""
    node = Node(small)
    script = "trap 'sleep 0.5; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    job = node.start(f"container main {sh(script)}")
    until(lambda: node.log("main") == "ready\n" and node.is_running("main"))
    fill(small, kind)
    job.term()
    assert job.end().code == 5
    assert node.ended("main").exit_code == 5


def fill(folder: Path, kind: str) -> None:
    with contextlib.suppress(OSError), ExitStack() as files:
        for number in range(100_000):
            file = files.enter_context((folder / f"filler-{number}").open("wb", buffering=0))
            while kind == "bytes":
                file.write(bytes(4096))


def test_one_that_leaves_room_says_nothing_of_it(small: Path) -> None:
    node = Node(small)
    node.run(f"container main {sh('echo some >file')}")
    assert node.ended("main").message == ""
