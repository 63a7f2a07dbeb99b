"""`top`, `status` and `delete` on terminals of 80x24 and of 30x8, with 300 pods that have long names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote_slurm.domain.slurm.job_states import JobState
from tests.cli.made_up_site import Served, served
from tests.cli.terminal import Terminal

SMALL = {"columns": 30, "lines": 8}
PODS = 300


def name(number: int) -> str:
    return f"team-of-the-physics-department/train-resnet50-imagenet-sweep-{number:05d}-abcdef"


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as found:
        for number in range(1, PODS + 1):
            state = JobState.RUNNING if number % 3 else JobState.PENDING
            job = found.add(number, name(number), state, containers=("c", "sidecar"))
            found.account.logs[job.pod] = b"".join(b"line %d\n" % line for line in range(100))
        await found.polled()
        yield found


def fits(terminal: Terminal, columns: int) -> bool:
    return all(len(row) <= columns for row in terminal.rows)


async def test_top_shows_the_pods_on_a_small_terminal(sidecar: Served) -> None:
    async with Terminal("top", "--url", sidecar.url, **SMALL) as top:
        await top.until("wait 100  runn 200", "STATE    POD", "300   Enter")
        assert sum("team-of-t…" in row and row.endswith("-abcdef") for row in top.rows) == 5
        top.press(b"\033[B")
        await top.until("> PENDING", "1/300")
        top.press(b"\033[F")  # End
        await top.until("300/300")
        top.press(b"q")
        assert await top.code() == 0


async def test_top_of_a_namespace_has_only_its_pods(tmp_path: Path) -> None:
    async with served(tmp_path) as sidecar:
        sidecar.add(1, "team/pod")
        sidecar.add(2, "other/pod")
        await sidecar.polled()
        async with Terminal("-n", "other", "top", "--url", sidecar.url, **SMALL) as top:
            await top.until("runn 1", "other/pod", "1   Enter")


async def test_a_filter_finds_one_of_many_pods(sidecar: Served) -> None:
    async with Terminal("top", "--url", sidecar.url, **SMALL) as top:
        await top.until("300   Enter")
        top.press(b"/00217-")
        await top.until("filter: 00217-_")
        top.press(b"\r\033[B")
        await top.until("1/1 of 300 with '00217-'", "> RUNNING  team")
        top.press(b"\033")
        await top.until("/300")


async def test_the_container_of_a_log_is_chosen_by_tab(sidecar: Served) -> None:
    async with Terminal("top", "--url", sidecar.url, **SMALL) as top:
        await top.until("300   Enter")
        top.press(b"\r")
        await top.until("log of sidecar (2 of 2)", "line 99")
        top.press(b"\t")
        await top.until("log of c (1 of 2)", "line 99")
        top.press(b"\033[5~")
        await top.until_not("line 99")
        assert "line 9" in top.text
        top.press(b"\033")
        await top.until_not("log of")


async def test_top_uses_a_terminal_that_has_grown(sidecar: Served) -> None:
    async with Terminal("top", "--url", sidecar.url, **SMALL) as top:
        await top.until("300   Enter")
        top.resize(100, 30)
        await top.until("reachable, by login1", "partitions: main*", "REASON", "PgUp PgDn: pod")
        assert fits(top, 100)


@pytest.mark.parametrize("key", [b"q", b"\003"], ids=["q", "ctrl-c"])
async def test_a_terminal_is_as_before_after_the_end_of_top(sidecar: Served, key: bytes) -> None:
    async with Terminal("top", "--url", sidecar.url) as top:
        before = top.modes
        await top.until("reachable, by login1")
        assert top.modes != before
        assert b"\033[?1049h" in top.written  # another screen, without a cursor
        top.press(key)
        assert await top.code() == 0
        assert top.modes == before
        assert top.written.rstrip().endswith((b"\033[?1049l", b"\033[?25h"))


@pytest.mark.parametrize("columns", [80, 30])
async def test_status_fits_the_terminal(sidecar: Served, columns: int) -> None:
    async with Terminal("status", "--url", sidecar.url, name(7), name(8), columns=columns) as status:
        assert await status.code() == 0
        await status.until("NAME", "RUNNING")
        rows = [row for row in status.rows if row]
        assert len(rows) == 3
        assert all("…" in row and "-abcdef" in row for row in rows[1:])


async def test_watch_shows_a_change(sidecar: Served) -> None:
    async with Terminal("status", "--watch", "--url", sidecar.url, "--every", "0.2", name(3)) as status:
        await status.until("PENDING")
        sidecar.account.start(sidecar.account.jobs["3"])
        await status.until("RUNNING  3 ")
        status.press(b"\003")
        assert await status.code() == 130


async def test_a_person_is_asked_before_many_pods_are_deleted(sidecar: Served) -> None:
    where = ("delete", "--url", sidecar.url, "--all")
    async with Terminal(*where, columns=120) as delete:
        await delete.until("and 280 more", "Delete these 300 pods at", "[y/N]")
        delete.press(b"\n")
        await delete.until("nothing is deleted")
        assert await delete.code() == 1
    assert len(sidecar.account.folders) == PODS


@pytest.mark.parametrize("command", ["status", "top"])
async def test_a_terminal_that_knows_no_ellipsis_gets_another_sign(sidecar: Served, command: str) -> None:
    """A locale such as ISO-8859-1."""
    environment = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    async with Terminal(command, "--url", sidecar.url, columns=60, **environment) as terminal:
        await terminal.until("team-of-t", "-abcdef")
        assert "unexpected" not in terminal.text
