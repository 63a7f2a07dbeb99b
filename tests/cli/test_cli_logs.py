"""`remote-slurm logs`: of one container or all of them, with kubectl's options."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote_slurm.cli.durations import duration, short
from remote_slurm.cli.logs import _Lines
from tests.cli.made_up_site import Served, served
from tests.cli.program import Program


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as found:
        job = found.add(7, "team/train", containers=("c", "side"))
        found.account.logs[job.pod] = b"one\ntwo"
        await found.polled()
        yield found


async def test_each_line_of_all_containers_has_a_prefix(sidecar: Served) -> None:
    done = await sidecar("logs", "team/train", "--all-containers", "--prefix")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "[pod/train/c] one",
        "[pod/train/c] two",
        "[pod/train/side] one",
        "[pod/train/side] two",
    ]


async def test_without_a_prefix_the_bytes_are_as_they_are(sidecar: Served) -> None:
    done = await sidecar("logs", "-n", "team", "train", "-c", "side", "--tail", "1")
    assert (done.returncode, done.stdout) == (0, "two")


@pytest.mark.parametrize("tail", [["--tail=-1"], ["--tail", "-1"]])
async def test_all_lines_may_be_asked_for_in_kubectls_words(sidecar: Served, tail: list[str]) -> None:
    done = await sidecar("logs", "-n", "team", "train", "-c", "side", *tail)
    assert (done.returncode, done.stdout) == (0, "one\ntwo")


async def test_a_container_without_a_log_does_not_hide_the_others(sidecar: Served) -> None:
    done = await sidecar("logs", "team/train", "--all-containers", "--previous")
    assert done.returncode == 1
    assert done.stderr.count("has not run before") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--since", "soon"], "must be a duration, such as 90s, 5m or 1h30m, not 'soon'"),
        (["--since", "10ms"], "must be a duration from 1s"),
        (["--since-time", "2026-07-14"], "must be a time with a zone"),
        (["--since", "5m", "--since-time", "2026-07-14T09:46:00Z"], "not allowed with argument --since"),
        (["-c", "a", "--all-containers"], "not allowed with argument -c/--container"),
    ],
)
def test_options_that_contradict_or_are_wrong_are_refused(program: Program, words: list[str], sentence: str) -> None:
    done = program("logs", "x", *words)
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]


def test_lines_are_printed_whole_however_they_arrive() -> None:
    printed: list[bytes] = []
    lines = _Lines(b"> ", printed.append)
    for chunk in (b"on", b"e\ntwo\nth", b"", b"ree"):
        lines.write(chunk)
    lines.end()
    lines.end()
    assert b"".join(printed) == b"> one\n> two\n> three\n"


def test_a_line_without_an_end_is_printed_in_parts() -> None:
    printed: list[bytes] = []
    lines = _Lines(b"> ", printed.append)
    for _ in range(64):
        lines.write(b"\r10 %" * 10_000)
    assert len(b"".join(printed)) > 64 * 50_000 - (2 << 20)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("2d", 172800)]
)
def test_durations_are_kubectls(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_ages_are_short() -> None:
    assert [short(seconds) for seconds in (0, 59.9, 60, 7200, 200000)] == ["0s", "59s", "1m", "2h", "2d"]


async def test_the_last_words_of_a_log_that_breaks_off_are_printed(sidecar: Served) -> None:
    """amir20/dozzle#4846: a last line without an end was lost."""
    sidecar.account.logs["team-7"] = b"one\nlast words"
    done = await sidecar("logs", "team/train", "-c", "c", "--prefix")
    assert done.stdout == "[pod/train/c] one\n[pod/train/c] last words\n"
