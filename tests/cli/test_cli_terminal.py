"""Colour and progress are for terminals only."""

import os
import pty
import subprocess

import pytest

from tests.cli.program import PodFile, ProgramAt
from tests.sidecar import ENVIRONMENT, PROGRAM
from tests.sites import Site

WAITING = "has not started yet"
COLOUR = "\033[32m"


def on_a_terminal(*words: object, **environment: str) -> str:
    """All that the program writes where both streams are a terminal."""
    ours, theirs = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm", **environment}
    with subprocess.Popen(
        [PROGRAM, *map(str, words)], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    ):
        os.close(theirs)
        text = b""
        # reading from a terminal without a writer is an error on Linux
        while data := _read(ours):
            text += data
    os.close(ours)
    return text.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("environment", "coloured", "live"),
    [({}, True, True), ({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False)],
)
def test_a_terminal(
    program_at: ProgramAt,
    site: Site,
    pod_file: PodFile,
    environment: dict[str, str],
    *,
    coloured: bool,
    live: bool,
) -> None:
    text = on_a_terminal("run", "--config", program_at(site).config, pod_file("echo hello"), **environment)
    assert "hello\r\n" in text
    assert (COLOUR in text) is coloured
    assert (WAITING in text) is live


def test_no_terminal(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    done = program_at(site)("run", pod_file("echo hello"))
    assert done.stdout == "hello\n"
    assert "\033" not in done.stderr
    assert WAITING not in done.stderr
