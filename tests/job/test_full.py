"""A pod whose containers fill the file system of its folder: how it ended is told all the same, and why."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import Node, sh


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", tmp_path]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_pod_that_fills_its_file_system_ends_with_its_own_exit_code_and_says_so(small: Path) -> None:
    node = Node(small)
    fill = sh("dd if=/dev/zero of=fill bs=4k 2>/dev/null; exit 3")
    assert node.run(f"container main {fill}\ncontainer side sleep 1").code == 3
    main = node.ended("main")
    assert main.exit_code == 3
    assert "no space, or no quota" in main.message
    assert node.ended("side").exit_code == 0


def test_one_that_leaves_room_says_nothing_of_it(small: Path) -> None:
    node = Node(small)
    node.run(f"container main {sh('echo some >file')}")
    assert node.ended("main").message == ""
