"""A node for each test."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """At the end, nothing of its jobs may run any more."""
    node = Node(tmp_path)
    yield node
    deadline = time.monotonic() + 5  # one that was just killed may take a moment
    while (left := node.processes()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        os.kill(int(process), signal.SIGKILL)
    assert not left, "the job left processes behind"
