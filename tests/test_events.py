"""A line of log: as text and as JSON it has the same fields."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from remote_slurm import events

HOSTILE = 'two\nlines "quoted" \x1b[31m'


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., list[str]]]:
    """What is written of what a function logs."""
    log = logging.getLogger("remote_slurm")
    before = log.handlers[:], log.level, log.propagate

    def run(write: Callable[[], None], *, as_json: bool) -> list[str]:
        events.configure(verbose=True, errors_only=False, as_json=as_json)
        write()
        return capsys.readouterr().err.splitlines()

    yield run
    log.handlers[:], log.level, log.propagate = before


def write() -> None:
    token = events.session_id.set("CreatePod#7")
    events.warn("job is\nPENDING", pod="default/a", job=12, reason=HOSTILE, nothing="", none=None)
    events.session_id.reset(token)
    logging.getLogger("remote_slurm.remote.connection").info("connected to %s", "login1")


def test_text(logged: Callable[..., list[str]]) -> None:
    first, second = logged(write, as_json=False)
    assert first.endswith(
        ' WARNING job is PENDING pod=default/a job=12 reason="two lines "quoted" ?[31m" session=CreatePod#7'
    )
    assert second.endswith(" INFO connected to login1")


def test_json(logged: Callable[..., list[str]]) -> None:
    first, second = (json.loads(line) for line in logged(write, as_json=True))
    assert first.pop("time").startswith("20")
    assert first == {
        "level": "WARNING",
        "message": "job is PENDING",
        "pod": "default/a",
        "job": 12,
        "reason": 'two lines "quoted" ?[31m',
        "session": "CreatePod#7",
    }
    assert (second["level"], second["message"]) == ("INFO", "connected to login1")


def test_a_traceback_is_part_of_its_line(logged: Callable[..., list[str]]) -> None:
    def fail() -> None:
        try:
            int("no")
        except ValueError:
            logging.getLogger("remote_slurm").exception("it failed")

    (line,) = logged(fail, as_json=True)
    assert "ValueError: invalid literal" in json.loads(line)["traceback"]
