"""A line of log: as text and as JSON it has the same fields."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from remote_slurm import log

HOSTILE = 'two\nlines "quoted" \x1b[31m'


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., list[str]]]:
    """What is written of what a function logs."""
    loggers = [logging.getLogger(name) for name in ("remote_slurm", "aiohttp", "asyncio")]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]

    def run(write: Callable[[], None], *, as_json: bool) -> list[str]:
        log.configure(verbose=True, errors_only=False, as_json=as_json)
        write()
        return capsys.readouterr().err.splitlines()

    yield run
    for each, handlers, level, propagate in before:
        each.handlers[:], each.level, each.propagate = handlers, level, propagate


def write() -> None:
    token = log.session_id.set("CreatePod#7")
    log.warning("job is\nPENDING", pod="default/a", job=12, reason=HOSTILE, nothing="", none=None)
    log.session_id.reset(token)
    logging.getLogger("remote_slurm.ssh.connection").info("connected to %s", "login1")


def test_text(logged: Callable[..., list[str]]) -> None:
    first, second = logged(write, as_json=False)
    assert first.endswith(
        ' WARNING job is PENDING pod=default/a job=12 reason="two lines \\"quoted\\" ?[31m" session=CreatePod#7'
    )
    assert second.endswith(" INFO connected to login1")


def test_a_value_cannot_look_like_a_field_of_its_own(logged: Callable[..., list[str]]) -> None:
    def write_hostile() -> None:
        for value in ('a" user="root', "a\\", "a=b", '"', "plain/1-2:3#4"):
            log.warning("x", value=value)

    values = [line.partition("value=")[2] for line in logged(write_hostile, as_json=False)]
    assert values == [r'"a\" user=\"root"', r'"a\\"', '"a=b"', r'"\""', "plain/1-2:3#4"]


def test_what_libraries_warn_of_has_the_same_form(logged: Callable[..., list[str]]) -> None:
    def warn() -> None:
        logging.getLogger("asyncio").error("socket.accept() out of\nsystem resource")
        logging.getLogger("aiohttp.server").warning("of a request")
        logging.getLogger("aiohttp.access").info("of each request")

    entries = [json.loads(line)["message"] for line in logged(warn, as_json=True)]
    assert entries == ["socket.accept() out of system resource", "of a request"]


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
