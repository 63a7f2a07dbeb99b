"""A node for each test."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from node import Node

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
