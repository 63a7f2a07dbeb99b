"""Completion in bash, zsh and fish: commands, options and names of pods, and nothing if no sidecar answers."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.made_up_site import Served, served
from tests.cli.program import Program
from tests.sidecar import ENVIRONMENT, PROGRAM

# What the script of each shell sets, besides the line
SHELLS = {"bash": {}, "zsh": {"_ARGCOMPLETE_SHELL": "zsh"}, "fish": {"_ARGCOMPLETE_SHELL": "fish"}}


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as found:
        found.add(1, "team/train")
        found.add(2, "team/test")
        found.add(3, "other/train")
        await found.polled()
        yield found


async def completed(line: str, tmp_path: Path, **environment: str) -> list[str]:
    """The answers to a line whose last word is completed."""
    answers = tmp_path / "answers"
    shell = {
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answers),
    }
    process = await asyncio.create_subprocess_exec(
        PROGRAM, env={**ENVIRONMENT, **shell, **environment}, stdout=-1, stderr=-1, stdin=-3
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (out, err) == (b"", b"")
    found = answers.read_text().split("\n")
    answers.unlink()
    return [line.partition(":")[0].partition("\t")[0].strip() for line in found if line]


@pytest.mark.parametrize("shell", SHELLS)
async def test_commands_options_and_pods_are_completed(sidecar: Served, tmp_path: Path, shell: str) -> None:
    environment = {"REMOTE_SLURM_URL": sidecar.url, **SHELLS[shell]}
    assert await completed("remote-slurm des", tmp_path, **environment) == ["describe"]
    assert await completed("remote-slurm -n team logs --all", tmp_path, **environment) == ["--all-containers"]
    assert await completed("remote-slurm describe te", tmp_path, **environment) == ["team/test", "team/train"]


async def test_pods_of_a_namespace_have_no_namespace(sidecar: Served, tmp_path: Path) -> None:
    where = {"REMOTE_SLURM_URL": sidecar.url}
    assert await completed("remote-slurm -n team logs -f tr", tmp_path, **where) == ["train"]
    line = f"remote-slurm logs --url {sidecar.url} -n team t"
    assert await completed(line, tmp_path) == ["test", "train"]


async def test_conditions_of_wait_are_completed(tmp_path: Path) -> None:
    assert await completed("remote-slurm wait --for ru", tmp_path) == ["running"]
    assert await completed("remote-slurm wait --for=e", tmp_path) == ["--for=ended"]


async def test_without_a_sidecar_no_name_is_completed(tmp_path: Path) -> None:
    assert await completed("remote-slurm logs te", tmp_path, REMOTE_SLURM_URL="http://127.0.0.1:1") == []
    assert await completed("remote-slurm --config /nonexistent logs te", tmp_path) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_each_shell_completes_the_program(program: Program, shell: str) -> None:
    done = program("completion", shell)
    assert done.returncode == 0
    assert "_ARGCOMPLETE" in done.stdout
    assert "remote-slurm" in done.stdout


async def test_bash_completes_by_the_script() -> None:
    """The function that bash calls when Tab is pressed."""
    bash = shutil.which("bash")
    assert bash
    script = (
        'eval "$(remote-slurm completion bash)"; COMP_LINE="remote-slurm comp"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; '
        "COMP_WORDS=(remote-slurm comp); COMP_CWORD=1; _python_argcomplete remote-slurm; printf '%s\\n' ${COMPREPLY[@]}"
    )
    environment = {**ENVIRONMENT, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(bash, "-c", script, env=environment, stdout=-1, stderr=-1)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (out.decode().split(), err) == (["completion"], b"")
