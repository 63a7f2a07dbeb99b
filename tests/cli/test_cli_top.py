"""`remote-slurm top`: one frame where there is no terminal, and a live one that ends on q where there is."""

import contextlib
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any

import pytest

from remote_slurm.cli.top_view import Chosen, Frame, Size
from tests.cli.program import PodFile, ProgramAt
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM
from tests.sites import Site

SITE = {
    "address": "me@login:22/jobs",
    "reachable": True,
    "error": "",
    "host": "login",
    "retryInSeconds": 0,
    "roundTripSeconds": 0.0123,
    "lastPollSeconds": 4,
    "pollIntervalSeconds": 10,
    "sessionsInUse": 1,
    "sessionsLimit": 8,
}
MAIN = {"name": "main", "default": True, "up": True, "cpus": 64, "free": 60}
NIGHT = {"name": "night", "default": False, "up": False, "cpus": 64, "free": 0}
TROUBLE = {
    "time": 0,
    "level": "WARNING",
    "message": "pod failed",
    "reason": "c ended with exit code 3",
    "pod": "ns/b",
    "job": "8",
    "exit_code": 3,
}


def row(number: int, phase: str = "running", **keys: Any) -> dict[str, Any]:
    base = {"pod": f"ns-{number}", "name": f"ns/pod-{number}", "jobId": str(number), "state": phase.upper()}
    return {**base, "phase": phase, "reason": "", "ageSeconds": 3700, "containers": [], **keys}


def state(*pods: dict[str, Any], **keys: Any) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for each in pods:
        counts[each["phase"]] = counts.get(each["phase"], 0) + 1
    found = {"site": SITE, "partitions": [MAIN, NIGHT], "counts": counts, "pods": list(pods), "troubles": [TROUBLE]}
    return found | keys


def drawn(told: dict[str, Any], size: Size | None = None, chosen: Chosen | None = None) -> str:
    return "\n".join(Frame(size or Size(), lambda text, _: text).lines(told, chosen))


def test_a_frame() -> None:
    text = drawn(state(row(7, node="cn042"), row(8, "waiting", reason="Priority: jobs of higher priority come first")))
    assert text.startswith("remote-slurm  me@login:22/jobs\nreachable, by login\n")
    assert "round trip 12 ms   last poll 4s ago   waiting 1   running 1   sessions 1 of 8" in text
    assert "partitions: main* 60 of 64 CPUs free,  night down" in text
    assert "  RUNNING  ns/pod-7  7    cn042  1h" in text
    assert "  WAITING  ns/pod-8  8    -      1h   Priority: jobs of higher priority come first" in text
    assert "pod failed: c ended with exit code 3 (ns/b, job 8, exit code 3)" in text


def test_a_site_that_cannot_be_reached() -> None:
    gone = SITE | {"reachable": False, "error": "no route", "roundTripSeconds": None, "lastPollSeconds": None}
    text = drawn(state(site=gone, partitions=None, troubles=[]))
    assert "not reachable: no route" in text
    assert "round trip -   last poll never" in text
    assert "partitions: not known yet" in text
    assert "there are no pods" in text
    assert "what failed lately" not in text


def test_each_account_and_whether_it_is_reachable() -> None:
    accounts = [SITE | {"name": "anna"}, SITE | {"name": "ben", "reachable": False, "error": "the key is refused"}]
    text = drawn(state(row(7), accounts=accounts))
    assert "  anna: reachable\n  ben: the key is refused\n" in text


def test_a_frame_fits_its_terminal() -> None:
    told = state(*(row(number, reason="x" * 500) for number in range(1, 200)))
    for size in (Size(80, 24), Size(40, 12), Size(200, 60)):
        lines = drawn(told, size).split("\n")
        assert len(lines) <= size.lines
        assert max(map(len, lines)) <= size.columns


def test_the_pod_that_is_chosen_is_always_shown() -> None:
    told = state(*(row(number) for number in range(1, 200)))
    for number in (1, 100, 199):
        assert f"> RUNNING  ns/pod-{number} " in drawn(told, Size(80, 24), Chosen(f"ns-{number}"))


def test_a_log_is_shown_by_its_end() -> None:
    text = drawn(state(row(7)), Size(80, 24), Chosen("ns-7", "main", "\n".join(f"line {n}" for n in range(100))))
    assert "log of main" in text
    assert text.endswith("line 99")
    assert "what failed lately" not in text


def test_nothing_from_the_site_commands_the_terminal() -> None:
    evil = "\033[2J\r\x9b31m\x07"
    told = state(row(7, reason=evil, name=evil), troubles=[TROUBLE | {"message": evil, "pod": evil}])
    text = drawn(told, chosen=Chosen("ns-7", evil, evil))
    assert all(sign.isprintable() or sign == "\n" for sign in text)


def test_one_frame_where_there_is_no_terminal(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    program = program_at(site)
    assert program("run", "--keep", pod_file("exit 3", name="broken")).returncode == 3
    done = program("top")
    assert done.returncode == 0
    assert "\033" not in done.stdout
    assert f"remote-slurm  {site.user}@{site.host}" in done.stdout
    assert "reachable, by " in done.stdout
    assert "CPUs free" in done.stdout
    assert "default/broken" in done.stdout
    told = json.loads(program("top", "--output", "json").stdout)
    assert [(each["name"], each["phase"]) for each in told["pods"]] == [("default/broken", "failed")]
    assert {each["name"] for each in told["partitions"]} == {"main", "short"}
    assert program("delete", "default/broken").returncode == 0


class Terminal:
    """A program on a terminal of 100 by 30."""

    def __init__(self, *words: object) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        environment = {**ENVIRONMENT, "TERM": "xterm"}
        self.process = subprocess.Popen(
            [PROGRAM, *map(str, words)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads here
        )
        self._theirs = theirs
        self.text = ""

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def until(self, text: str, seconds: float = PATIENCE) -> None:
        """Wait until it was written after what was waited for last."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < deadline, f"{text!r} did not come: {self.text!r}"
            if select.select([self._ours], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    self.text += os.read(self._ours, 65536).decode(errors="replace")
        self.text = self.text.partition(text)[2]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def top(program_at: ProgramAt, site: Site) -> Iterator[Terminal]:
    terminal = Terminal("top", "--config", program_at(site).config, "--every", "1")
    yield terminal
    terminal.close()


@pytest.mark.parametrize("key", [b"q", b"\003"], ids=["q", "ctrl-c"])
def test_a_terminal_is_as_before_after_its_end(top: Terminal, key: bytes) -> None:
    before = top.modes
    top.until("\033[?1049h")
    top.until("reachable, by ")
    assert top.modes != before
    top.press(key)
    top.until("\033[?25h\033[?1049l")
    assert top.process.wait(PATIENCE) == 0
    assert top.modes == before


def test_keys_choose_a_pod_and_show_its_log(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    program = program_at(site)
    assert program("run", "--keep", pod_file("echo from the log; exit 3", name="broken")).returncode == 3
    top = Terminal("top", "--config", program.config, "--every", "1")
    try:
        top.until("default/broken")
        top.press(b"j\033[Bk\033[A")
        top.until("> FAILED")
        top.press(b"\r")
        top.until("log of main")
        top.until("from the log")
        top.press(b"q")
        assert top.process.wait(PATIENCE) == 0
    finally:
        top.close()
    assert program("delete", "default/broken").returncode == 0
