"""A node for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from node import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """At the end, nothing of its jobs may run any more."""
    node = Node(tmp_path)
    yield node
    try:
        node.until_empty()
    finally:
        node.clear()
