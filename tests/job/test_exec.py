"""Commands of clients in a container: the script of the login node and the step, with a stand-in for srun."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import yaml

from remote_slurm.config import Config, load_config
from remote_slurm.domain.exec_request import ExecRequest
from remote_slurm.domain.plan.job_parts import parts_used
from remote_slurm.errors import OutcomeUnknown
from remote_slurm.job import SCRIPTS
from remote_slurm.site.operations.exec import ExecRefused, RunningCommand, script
from tests.job.node import BASH, POD, Job, Node, sh, until

# What srun does: the program behind all options gets the exported variables, and SIGINT ends the whole step. A shell
# cannot trap what it was born to ignore
SRUN = """\
#!/bin/bash
[[ $SRUN_AGAIN ]] || SRUN_AGAIN=yes exec env --default-signal=INT,QUIT "$0" "$@"
while [[ $1 == -* ]]; do
    case $1 in --export=*) IFS=, read -r -a names <<<"${1#*=}" ;; esac
    shift
done
for name in "${names[@]}"; do pairs+=("$name=${!name}"); done
setsid env -i --default-signal=INT,QUIT PATH="$PATH" HOME="$HOME" NODE="$NODE" "${pairs[@]}" "$@" <&0 &
trap 'kill -KILL -- "-$!"' INT
wait "$!"
"""
WAITS = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


class Channel:
    """A script that runs here, as a session at the login node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def _streams(self) -> tuple[asyncio.StreamWriter, asyncio.StreamReader, asyncio.StreamReader]:
        process = self.process
        assert process.stdin
        assert process.stdout
        assert process.stderr
        return process.stdin, process.stdout, process.stderr

    async def read(self) -> bytes:
        return await self._streams[1].read(65536)

    async def read_error(self) -> bytes:
        return await self._streams[2].read(65536)

    async def write(self, data: bytes) -> None:
        self._streams[0].write(data)
        await self._streams[0].drain()

    async def write_eof(self) -> None:
        self._streams[0].close()

    def resize(self, columns: int, rows: int) -> None:
        raise AssertionError(f"it has no terminal of {columns} columns and {rows} rows")

    def close(self) -> None:
        """What the watcher of a connection does."""
        if self.process.returncode is None:
            self.process.terminate()


class Printed(Channel):
    """A script that has printed all at once, before the connection was lost."""

    def __init__(self, output: bytes, error: bytes) -> None:
        self._said, self._error = [output], [error]

    async def read(self) -> bytes:
        return _last(self._said)

    async def read_error(self) -> bytes:
        return _last(self._error)


def _last(said: list[bytes]) -> bytes:
    if not said:
        raise OutcomeUnknown("the connection to the port was lost")
    return said.pop()


class Login:
    """A login node beside the node, which sees its folder."""

    def __init__(self, node: Node) -> None:
        self.node = node
        srun = node.root / "srun"
        srun.write_text(SRUN)
        srun.chmod(0o755)
        ssh = {"HostName": "login.example.org", "User": "hpcuser", "IdentityFile": "/keys/id"}
        keys = {"SSH": ssh, "DataRootFolder": str(node.root), "StateFolder": str(node.root), "SrunPath": str(srun)}
        path = node.root / "SlurmConfig.yaml"
        path.write_text(yaml.safe_dump(keys | {"BashPath": BASH}))
        self.config: Config = load_config(path, {"HOME": str(node.root)})

    @contextlib.asynccontextmanager
    async def running(self, *command: str, container: str = "c", stdin: bool = False) -> AsyncIterator[RunningCommand]:
        exec_id, text = script(self.config, POD, "7", ExecRequest(container, command, stdin), None)
        pipe = asyncio.subprocess.PIPE
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.node.root), "NODE": str(self.node.root)}
        self.process = await asyncio.create_subprocess_exec(
            "sh", "-c", text, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        running = RunningCommand(Channel(self.process), exec_id)
        try:
            await running.start(terminal=False)
            yield running
        finally:
            running.close()
            await self.process.wait()

    async def run(self, *command: str, data: bytes | None = None) -> tuple[int | None, bytes, bytes]:
        """Its exit code, and all that it prints."""
        async with self.running(*command, stdin=data is not None) as running:
            output, errors, _ = await asyncio.gather(
                _all(running.read_output), _all(running.read_error), _send(running, data)
            )
            return running.exit_code, output, errors


async def _all(read: Callable[[], Awaitable[bytes]]) -> bytes:
    parts = []
    while data := await read():
        parts.append(data)
    return b"".join(parts)


async def _send(running: RunningCommand, data: bytes | None) -> None:
    if data is not None:
        await running.write_input(data)
        await running.end_input()


@pytest.fixture
def login(node: Node) -> Login:
    return Login(node)


@pytest.fixture
def job(node: Node) -> Iterator[Job]:
    """With one container that waits, in which commands may run."""
    calls = f"exec_mode clone\nallow_exec\ncontainer c {sh(WAITS)}"
    parts = [name.removesuffix(".sh") for name in ("runner.sh", *parts_used(calls, SCRIPTS))]
    job = node.start(calls, prefix=f"parts=({' '.join(parts)})")
    until(lambda: _is_complete(node, "c"))
    yield job
    job.term()
    job.end()


def _is_complete(node: Node, name: str) -> bool:
    path = node.pod / ".runner" / f"{name}.exec"
    return path.exists() and "exec_is_complete" in path.read_text()


@pytest.mark.usefixtures("job")
async def test_an_exit_code_comes_back_and_that_of_a_signal_as_in_a_shell(login: Login) -> None:
    for code in (0, 1, 2, 125, 126, 127, 128, 254, 255):
        assert await login.run("sh", "-c", f"exit {code}") == (code, b"", b"")
    for signal in (1, 2, 9, 15):
        assert await login.run("sh", "-c", f"kill -{signal} $$") == (128 + signal, b"", b"")


@pytest.mark.usefixtures("job")
async def test_output_without_an_end_of_line_and_errors_come_apart(login: Login) -> None:
    said = await login.run("sh", "-c", "printf 'a\\036b'; printf 'c\\n\\036' >&2; cat", data=b"\0\xff\036 end 0\036")
    assert said == (0, b"a\036b\0\xff\036 end 0\036", b"c\n\036")


async def test_an_error_that_comes_with_the_begin_mark_is_whole() -> None:
    running = RunningCommand(Printed(b"\036id begin\036\036id end 0\036", b"\036id begin\036c\n\036"), "id")
    await running.start(terminal=False)
    assert await running.read_error() == b"c\n\036"


async def test_a_connection_that_is_lost_is_named() -> None:
    running = RunningCommand(Printed(b"\036id begin\036", b"\036id begin\036"), "id")
    await running.start(terminal=False)
    for read in (running.read_output, running.read_error):
        with pytest.raises(OutcomeUnknown, match=r"^the connection to the site was lost, and the command is ended$"):
            await read()


@pytest.mark.usefixtures("job")
async def test_a_program_that_is_missing_has_the_code_of_a_shell(login: Login) -> None:
    code, output, errors = await login.run("no-such-program")
    assert (code, output) == (127, b"")
    assert b"no-such-program" in errors


@pytest.mark.usefixtures("job")
async def test_a_session_that_ends_leaves_no_process(login: Login) -> None:
    seconds = f"98{os.getpid()}"
    async with login.running("sleep", seconds) as running:
        until(lambda: seconds in login.node.arguments())
        running.close()
        while login.process.returncode is None:  # noqa: ASYNC110 - wait() waits for the ends of the pipes, too
            await asyncio.sleep(0.01)
        # a process that was killed may take a moment to end
        until(lambda: seconds not in login.node.arguments())
        until(lambda: "sleep\0" + "10\0" not in login.node.arguments())


# --- containers that do not run ---


async def refused(login: Login, container: str) -> str:
    with pytest.raises(ExecRefused) as raised:
        async with login.running("true", container=container):
            pass
    return raised.value.refusal


async def test_the_state_of_a_container_that_does_not_run_comes_back(login: Login) -> None:
    node = login.node
    calls = f"exec_mode clone\nallow_exec\ninit over {sh('exit 0')}\ncontainer main {sh('exit 3')}"
    assert await refused(login, "main") == "waiting "
    node.run(calls)
    assert await refused(login, "main") == "terminated 3"


async def test_a_container_of_a_pod_from_before_is_refused(login: Login) -> None:
    job = login.node.start(f"container c {sh(WAITS)}")
    until(lambda: login.node.is_running("c"))
    assert await refused(login, "c") == "not_allowed"
    job.term()
    job.end()


async def test_a_folder_that_is_missing_is_refused(login: Login) -> None:
    login.node.pod.rename(login.node.root / "elsewhere")
    assert await refused(login, "c") == "no_folder"
