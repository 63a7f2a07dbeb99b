"""Fixtures of tests of the service."""

import logging
from collections.abc import Iterator

import pytest

from tests.service.logged import Logged, Recorder


@pytest.fixture
def logged() -> Iterator[Logged]:
    """The lines that remote_slurm logs, from INFO on."""
    logged, log = Logged(), logging.getLogger("remote_slurm")
    recorder, level = Recorder(logged), log.level
    log.addHandler(recorder)
    log.setLevel(logging.INFO)
    yield logged
    log.setLevel(level)
    log.removeHandler(recorder)
