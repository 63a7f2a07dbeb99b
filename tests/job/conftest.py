"""A node for each test."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.job.node import Node

# Tests that are started in the background have them ignored, and what a shell is born to ignore it cannot trap
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """At the end, nothing of its jobs may run any more."""
    node = Node(tmp_path)
    yield node
    try:
        node.until_empty()
    finally:
        node.clear()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB, and of 200 files."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M,nr_inodes=200", "tmpfs", tmp_path]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)
