"""`remote-slurm exec`: standard streams of each kind. The commands are processes of this machine."""

import asyncio
import contextlib
import fcntl
import os
import pty
import select
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.exec_server import Server, serve
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM

Done = subprocess.CompletedProcess[bytes]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serve(tmp_path) as server:
        yield server


def words(server: Server, *command: str, options: str = "-i") -> list[str]:
    token = ["--token-file", str(server.audit_file.with_name("tokens"))]
    return [str(PROGRAM), "exec", "--url", server.url, *token, options, "team/web", "--", *command]


async def run(server: Server, *command: str, redirected: str, options: str = "-i") -> Done:
    """By a shell, which redirects its streams."""
    line = ["sh", "-c", f'"$@" {redirected}', "sh", *words(server, *command, options=options)]
    return await asyncio.to_thread(
        subprocess.run, line, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, timeout=PATIENCE
    )


async def test_a_closed_input_has_an_end(server: Server) -> None:
    done = await run(server, "sh", "-c", "cat; echo ended; exit 3", redirected="<&-")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"ended\n", b"")


async def test_output_may_be_closed(server: Server) -> None:
    done = await run(server, "sh", "-c", "echo lost; exit 3", redirected=">&-")
    assert (done.returncode, done.stderr) == (3, b"")


@pytest.mark.parametrize(
    ("redirected", "sentence"),
    [
        ("0>/dev/null", "cannot read standard input: Bad file descriptor"),
        (">/dev/full", "cannot write to standard output: No space left on device"),
    ],
)
async def test_a_stream_that_fails_ends_the_command(server: Server, redirected: str, sentence: str) -> None:
    done = await run(server, "sh", "-c", "echo out; exec sleep 1000", redirected=redirected)
    assert (done.returncode, done.stderr.decode()) == (1, f"remote-slurm: {sentence}: the command is ended\n")


async def test_output_may_be_a_pipe_that_does_not_block(server: Server) -> None:
    done = await asyncio.to_thread(_into_a_full_pipe, words(server, "head", "-c", "300000", "/dev/zero"))
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 300_000, b"")


def _into_a_full_pipe(line: list[str]) -> Done:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETFL, os.O_NONBLOCK)
    null = subprocess.DEVNULL
    process = subprocess.Popen(line, stdin=null, stdout=writing, stderr=subprocess.PIPE, env=ENVIRONMENT)
    os.close(writing)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(3)  # the pipe is full by then, or the program has ended
    with os.fdopen(reading, "rb") as output:
        read = output.read()
    _, errors = process.communicate()
    return Done(line, process.returncode, read, errors)


async def test_a_reader_that_is_gone_ends_the_command_quietly(server: Server) -> None:
    done = await run(server, "yes", redirected="| head -n 1")
    assert (done.stdout, done.stderr) == (b"y\n", b"")


async def test_what_was_typed_before_the_command_ran_is_its_input(server: Server) -> None:
    done = await asyncio.to_thread(_typed_early, words(server, "head", "-n", "1", options="-it"))
    assert done.returncode == 0
    assert done.stdout.count(b"typed early") == 2  # once by the terminal, and once by the command


def _typed_early(line: list[str]) -> Done:
    pid, terminal = pty.fork()
    if not pid:
        os.execve(line[0], line, ENVIRONMENT)  # noqa: S606
    os.write(terminal, b"typed early\n")
    seen = b""
    with contextlib.suppress(OSError):
        while select.select([terminal], [], [], PATIENCE)[0]:
            seen += os.read(terminal, 65536)
    return Done(line, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen)


async def test_a_copy_of_a_link_alone_fails_with_a_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    token = ["--token-file", str(server.audit_file.with_name("tokens"))]
    line = [str(PROGRAM), "cp", "--url", server.url, *token, f"team/web:{tmp_path}/link", str(tmp_path / "copy")]
    done = await asyncio.to_thread(subprocess.run, line, capture_output=True, env=ENVIRONMENT, timeout=PATIENCE)
    assert done.returncode == 1
    assert f"nothing was copied: '{tmp_path}/link' in the container is neither a file nor" in done.stderr.decode()
