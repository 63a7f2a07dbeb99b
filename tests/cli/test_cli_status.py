"""`remote-slurm status`: which pods, and how they are printed."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote_slurm.cli.main import parser
from remote_slurm.cli.status import _COLUMNS, _row, _selected
from remote_slurm.cli.tables import Cell, Column, Uncut, fitted
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import RemoteSlurmError
from tests.cli.made_up_site import Served, served
from tests.cli.program import Program
from tests.sidecar import ENVIRONMENT, PROGRAM

LONG = "team-physics-of-the-large/train-resnet50-imagenet-sweep-00017-abcdef"


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as found:
        found.add(1, "team/train", labels={"app": "train", "tier": "one"})
        found.add(2, "team/test", JobState.PENDING, labels={"app": "test"})
        found.add(3, "other/train", JobState.SUSPENDED)
        await found.polled()
        yield found


def pod(key: str, name: str, state: str, phase: str, **labels: str) -> dict[str, object]:
    return {"pod": key, "name": name, "state": state, "phase": phase, "labels": labels}


PODS = [
    pod("team-1", "team/train", "RUNNING", "running", app="train", tier="one"),
    pod("team-2", "team/test", "PENDING", "waiting", app="test"),
    pod("other-3", "other/train", "TIMEOUT", "failed"),
]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ["team-1", "team-2", "other-3"]),
        (["-n", "team"], ["team-1", "team-2"]),
        (["-n", "team", "-A"], ["team-1", "team-2", "other-3"]),
        (["-l", "app=train"], ["team-1"]),
        (["-l", "app"], ["team-1", "team-2"]),
        (["-l", "!app"], ["other-3"]),
        (["-l", "app!=train"], ["team-2", "other-3"]),
        (["-l", "app in (train, test),tier"], ["team-1"]),
        (["-l", "app notin (train)"], ["team-2", "other-3"]),
        (["--state", "waiting"], ["team-2"]),
        (["--state", "timeout,RUNNING"], ["team-1", "other-3"]),
        (["team/train"], ["team-1"]),
        (["-n", "other", "train"], ["other-3"]),
        (["train"], ["team-1", "other-3"]),
        (["-n", "other", "team/train"], ["team-1"]),
        (["-l", "app=test", "train"], []),
    ],
    ids=" ".join,
)
def test_filters_select_pods_as_kubectls_do(words: list[str], found: list[str]) -> None:
    arguments = parser(["status"]).parse_args(["status", *words])
    assert [each["pod"] for each in _selected({"pods": PODS}, arguments.pods, arguments)] == found


def test_a_sidecar_without_labels_is_not_taken_for_pods_without_labels() -> None:
    arguments = parser(["status"]).parse_args(["status", "-l", "app"])
    with pytest.raises(RemoteSlurmError, match=r"the labels of pods are not known: .* earlier version"):
        _selected({"pods": [{"pod": "a-1", "name": "a/b", "state": "RUNNING"}]}, [], arguments)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-l", "app=a b"], "must be a label selector, such as"),
        (["--state", "sleeping"], "has no state 'sleeping': must be waiting, running, "),
        (["-n"], "expected one argument"),
    ],
)
def test_a_filter_that_is_none_is_refused(program: Program, words: list[str], sentence: str) -> None:
    done = program("status", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr.splitlines()[-1]


async def test_a_pod_that_another_namespace_has_is_not_there(sidecar: Served) -> None:
    done = await sidecar("status", "-n", "other", "test")
    assert done.returncode == 1
    assert "there is no pod 'test' in namespace 'other' at " in done.stderr


async def test_no_pods_of_a_namespace_is_said(sidecar: Served) -> None:
    done = await sidecar("status", "-n", "nobody")
    assert (done.returncode, done.stdout) == (0, "")
    assert "there are no pods in namespace 'nobody' at" in done.stderr


async def test_wide_has_containers_and_folders_and_json_all(sidecar: Served) -> None:
    row = (await sidecar("status", "-o", "wide", "team/train")).stdout.splitlines()[1]
    assert row.split()[-1] == "team-1"
    assert "c: running" in row
    assert "team-1" not in (await sidecar("status", "team/train")).stdout
    assert (await sidecar("status", "-n", "team", "-o", "name")).stdout == "team/train\nteam/test\n"
    (pod,) = json.loads((await sidecar("status", "-o", "json", "team/train")).stdout)["pods"]
    assert (pod["labels"], pod["phase"]) == ({"app": "train", "tier": "one"}, "running")


async def test_the_environment_names_the_sidecar(sidecar: Served, tmp_path: Path) -> None:
    sidecar.environment["REMOTE_SLURM_URL"] = sidecar.url
    assert "team/train" in (await sidecar.run("status")).stdout
    assert (await sidecar.run("-n", "team", "status", "test")).returncode == 0
    sidecar.environment["REMOTE_SLURM_URL"] = "localhost"
    done = await sidecar.run("status")
    assert (done.returncode, done.stderr.startswith("remote-slurm: REMOTE_SLURM_URL must be ")) == (1, True)
    # the command line comes first, whichever of the two it has
    assert (await sidecar.run("status", "--url", sidecar.url)).returncode == 0
    missing = tmp_path / "missing.yaml"
    assert str(missing) in (await sidecar.run("status", "--config", missing)).stderr
    del sidecar.environment["REMOTE_SLURM_URL"]
    sidecar.environment |= {"REMOTE_SLURM_CONFIG": str(missing), "SLURMCONFIGPATH": "/other"}
    assert f"{missing}: does not exist (REMOTE_SLURM_CONFIG names it)" in (await sidecar.run("status")).stderr


async def test_a_token_of_the_environment_goes_to_no_other_sidecar(sidecar: Served, tmp_path: Path) -> None:
    """The file is not there: whoever reads it says so."""
    sidecar.environment |= {"REMOTE_SLURM_URL": "http://127.0.0.1:1", "REMOTE_SLURM_TOKEN_FILE": str(tmp_path / "no")}
    assert (await sidecar.run("status", "--url", sidecar.url)).returncode == 0
    assert "--token-file" in (await sidecar.run("status")).stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--url", "URL", "status"],
        ["--url=URL", "status"],
        ["status", "--url", "URL"],
        ["-nteam", "--url", "URL", "status"],
    ],
)
async def test_global_options_stand_before_or_after_the_command(sidecar: Served, words: list[str]) -> None:
    done = await sidecar.run(*(word.replace("URL", sidecar.url) for word in words))
    assert (done.returncode, "train" in done.stdout) == (0, True)


async def test_a_command_that_has_no_use_for_a_global_option_refuses_it(sidecar: Served) -> None:
    done = await sidecar.run("--url", sidecar.url, "check")
    assert done.returncode == 2
    assert "unrecognized arguments: --url" in done.stderr


def test_the_value_of_a_global_option_may_be_the_name_of_a_command() -> None:
    from remote_slurm.cli.global_options import command_first

    assert command_first(["--config", "run", "status", "x"]) == ["status", "--config", "run", "x"]
    assert command_first(["-n", "logs", "--set=A=1", "logs"]) == ["logs", "-n", "logs", "--set=A=1"]
    assert command_first(["--help", "status"]) == ["--help", "status"]
    assert parser(["status"]).parse_args(["status", "-n", "logs"]).namespace == "logs"


def shown(width: int, **keys: object) -> list[str]:
    from rich.console import Console

    pod = {
        "pod": "a-1",
        "name": LONG,
        "jobId": "1234567",
        "state": "OUT_OF_MEMORY",
        "ageSeconds": 90000,
        "node": "cn042",
    }
    container = {"name": "c", "state": "running"}
    pod |= {"reason": "Priority: " + "x" * 100, "containers": [container], "initContainers": [], **keys}
    console = Console(width=width, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(fitted(_COLUMNS, [list(_row(pod, "", wide=False))], width))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [200, 80, 60, 40, 30, 10])
def test_a_table_has_one_line_for_each_pod_in_any_terminal(width: int) -> None:
    lines = shown(width)
    assert len(lines) == 2
    assert max(map(len, lines)) <= width


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    name = shown(80)[1].split()[0]
    assert "…" in name
    assert name.startswith("team-phys")
    assert name.endswith("abcdef")
    assert shown(80, name="default/hello")[1].startswith("default/hello  ")


def test_columns_without_room_are_left_out() -> None:
    assert shown(80)[0].split() == ["NAME", "RUNNING", "STATE", "JOB", "AGE", "NODE", "REASON"]
    assert shown(40)[0].split() == ["NAME", "STATE"]


def test_wide_letters_take_two_columns() -> None:
    from rich.cells import cell_len

    lines = shown(80, reason="優先順位: 他のジョブが先に実行されます。待機しています", name="チーム/実験")
    assert max(map(cell_len, lines)) <= 80


def test_nothing_from_the_site_commands_the_terminal() -> None:
    lines = shown(80, reason="\033[2J\r\x9b31m\x07", name="[red]a\n")
    assert all(sign.isprintable() for line in lines for sign in line)
    assert lines[1].startswith("[red]a ")
    assert Cell("a").style == ""


def test_several_selectors_and_states_are_all_heeded() -> None:
    """kubernetes/kubernetes#55508: of several, only the last one counted, without a word."""
    words = ["status", "-l", "app", "-l", "app!=train", "--state", "waiting", "--state", "failed"]
    arguments = parser(["status"]).parse_args(words)
    assert [each["pod"] for each in _selected({"pods": PODS}, [], arguments)] == ["team-2"]


def test_rows_of_a_watch_stay_below_their_header() -> None:
    """kubernetes/kubernetes#43126: each change was aligned by itself."""
    table = Uncut((Column("NAME"), Column("STATE")))
    lines = [*table.lines([[Cell("a-long-name"), Cell("RUNNING")]]), *table.lines([[Cell("b"), Cell("FAILED")]])]
    assert lines == ["NAME         STATE", "a-long-name  RUNNING", "b            FAILED"]


async def test_a_watch_in_a_pipe_goes_on_after_the_first_change(sidecar: Served) -> None:
    """kubernetes/kubernetes#119246: it ended where standard output was no terminal."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "status", "--watch", "--url", sidecar.url, "--every", "0.1", stdout=-1, stderr=-1, env=ENVIRONMENT
    )
    assert process.stdout
    try:
        header, *rows = [(await asyncio.wait_for(process.stdout.readline(), 60)).decode() for _ in range(4)]
        assert (header.split()[0], len(rows)) == ("NAME", 3)
        sidecar.account.start(sidecar.account.jobs["2"])
        assert b"team/test" in await asyncio.wait_for(process.stdout.readline(), 60)
    finally:
        process.kill()
        await process.communicate()
