"""Connections through a relay: its programs run here, in the script that starts them, without Slurm."""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from remote_slurm.errors import Code, OutcomeUnknown, PortUnreachable
from remote_slurm.site.port_relays import MOST_RELAYS, PortRelays
from remote_slurm.site.relay import RelayedStream
from remote_slurm.site.site import PortStream, StepListener
from remote_slurm.ssh.receive_window import FIRST_WINDOW
from tests.domain.podspec import config
from tests.fake_site import LocalStream
from tests.local_ports import deaf, digest, echo, listening, pour, rest, silent
from tests.sites import free_port
from tests.ssh.ssh_server import eventually

_MIB = 1024 * 1024
# What the relay and the script that starts it need, besides the program of its language
_TOOLS = ("sh", "env", "cat", "sleep", "sed")


class ProcessStream(LocalStream):
    """Standard input and output of a program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        super().__init__(process.stdout, process.stdin)
        self.process = process
        self.write_ended = False

    async def write_eof(self) -> None:
        self.write_ended = True
        await super().write_eof()


def _program(language: str) -> str | Path:
    if language == "python3":
        return Path(sys.executable).resolve()
    return shutil.which("busybox" if language == "nc" else language) or pytest.skip(f"this machine has no {language}")


class Login:
    """A login node whose srun runs the command right there."""

    def __init__(self, folder: Path, language: str) -> None:
        self.path = folder / language
        self.path.mkdir()
        for name in _TOOLS:
            (self.path / name).symlink_to(str(shutil.which(name)))
        (self.path / language).symlink_to(str(_program(language)))
        self.srun('while [ "$1" != sh ]; do shift; done; exec "$@"')
        self.environment: dict[str, str] = {}
        self.streams: list[ProcessStream] = []

    def srun(self, text: str) -> None:
        (self.path / "srun").write_text(f"#!/bin/sh\n{text}\n")
        (self.path / "srun").chmod(0o755)

    async def attach(self, script: str) -> PortStream:
        # the folders of the system, which have both languages, do not count here
        script = script.replace("PATH=/usr/bin:/bin:/usr/local/bin:/usr/libexec:$PATH", "PATH=$PATH")
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            script,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": str(self.path), **self.environment},
            limit=_MIB,
        )
        self.streams.append(ProcessStream(process))
        return self.streams[-1]

    async def ended(self) -> None:
        for stream in self.streams:
            await stream.process.wait()


Start = Callable[..., contextlib.AbstractAsyncContextManager[PortRelays]]


@pytest.fixture(params=["perl", "python3"])
def login(tmp_path: Path, request: pytest.FixtureRequest) -> Login:
    return Login(tmp_path, request.param)


@pytest.fixture
async def relays(login: Login) -> AsyncIterator[PortRelays]:
    relays = PortRelays(login.attach, config())
    yield relays
    for stream in login.streams:
        stream.close()
    await login.ended()


def last_child(pid: int) -> int:
    """The process at the end of a line of processes: the relay."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid


def held(stream: PortStream) -> int:
    """Bytes that have come, and that the client has not taken."""
    assert isinstance(stream, RelayedStream)
    return sum(len(each) for each in stream._held)


async def test_bytes_go_both_ways_and_either_side_may_end_first(login: Login, relays: PortRelays) -> None:
    taken = asyncio.get_running_loop().create_future()

    async def goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"goodbye")
        writer.write_eof()
        taken.set_result(await reader.read())

    async with listening(echo) as echoing, listening(digest) as digesting, listening(goodbye) as ending:
        stream = await relays.open("7", "n1", echoing)
        every = bytes(range(256)) * 2
        await stream.write(every)
        assert await stream.read() == every
        stream.close()
        stream = await relays.open("7", "n1", digesting)
        await stream.write(b"all of it")
        await stream.write_eof()
        assert await rest(stream) == hashlib.sha256(b"all of it").hexdigest().encode()
        await stream.wait_closed()
        stream = await relays.open("7", "n1", ending)
        assert await rest(stream) == b"goodbye"
        await stream.write(b"one more thing")
        await stream.write_eof()
        assert await taken == b"one more thing"
        await stream.wait_closed()
    assert len(login.streams) == 1


async def test_large_transfers_arrive_whole_in_both_directions_at_once(relays: PortRelays) -> None:
    data = os.urandom(8 * _MIB)
    async with listening(echo) as port:
        stream = await relays.open("7", "n1", port)

        async def send() -> None:
            await stream.write(data)
            await stream.write_eof()

        _, received = await asyncio.gather(send(), rest(stream))
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


async def test_a_port_where_nothing_listens_is_named_and_others_go_on(relays: PortRelays) -> None:
    async with listening(echo) as port:
        stream = await relays.open("7", "n1", port)
        nowhere = free_port()
        with pytest.raises(PortUnreachable, match=f"^nothing listens on port {nowhere} of n1: Connection ref") as error:
            await relays.open("7", "n1", nowhere)
        assert error.value.code is Code.CONNECT_FAILED
        await stream.write(b"still here")
        assert await stream.read() == b"still here"


async def test_a_program_that_listens_on_the_ipv6_loopback_address_is_reached(relays: PortRelays) -> None:
    async with listening(echo, "::1") as port:
        stream = await relays.open("7", "n1", port)
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        stream.close()


async def test_a_client_that_reads_nothing_holds_at_most_a_window(relays: PortRelays) -> None:
    async with listening(pour) as pouring, listening(echo) as port:
        stalled = await relays.open("7", "n1", pouring)
        await eventually(lambda: held(stalled) == FIRST_WINDOW)
        other = await relays.open("7", "n1", port)
        for _ in range(50):
            await other.write(b"y" * 10_000)
            received = 0
            while received < 10_000:
                received += len(await other.read())
        assert held(stalled) == FIRST_WINDOW
        stalled.close()


async def test_a_program_that_reads_nothing_delays_its_client_and_no_other(relays: PortRelays) -> None:
    async with listening(deaf) as silent, listening(echo) as port:
        stuck = await relays.open("7", "n1", silent)
        writing = asyncio.ensure_future(stuck.write(b"x" * 64 * _MIB))
        other = await relays.open("7", "n1", port)
        await other.write(b"hello")
        assert await other.read() == b"hello"
        assert not writing.done()
        stuck.close()
        with pytest.raises(OutcomeUnknown):
            await writing


async def test_a_connection_that_the_program_resets_is_lost(relays: PortRelays) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with listening(reset) as port:
        stream = await relays.open("7", "n1", port)
        await stream.write(b"x")
        with pytest.raises(OutcomeUnknown, match="lost"):
            await stream.read()
        with pytest.raises(OutcomeUnknown):
            await stream.write(b"x")


async def test_two_hundred_at_once_and_many_in_a_row_take_one_step(login: Login, relays: PortRelays) -> None:
    async def once(number: int) -> None:
        stream = await relays.open("7", "n1", port)
        await stream.write(b"%d" % number)
        assert await stream.read() == b"%d" % number
        stream.close()

    async with listening(echo) as port:
        await asyncio.gather(*(once(number) for number in range(200)))
        for number in range(200):
            await once(number)
    assert len(login.streams) == 1
    assert relays._relays["7"].connections == 0


# --- nodes without a program that carries many connections ---

ONE_CONNECTION = pytest.mark.parametrize("login", ["socat", "nc", "bash"], indirect=True)


@ONE_CONNECTION
async def test_a_step_for_each_connection_carries_bytes_and_ends_with_it(login: Login, relays: PortRelays) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int(await reader.readline())
        writer.write(hashlib.sha256(await reader.readexactly(size)).digest() + data)

    data = os.urandom(4 * _MIB)
    async with listening(answer) as port, listening(echo, "::1") as other:
        streams = [await relays.open("7", "n1", port) for _ in range(2)]
        for stream in streams:
            await stream.write(b"%d\n" % len(data))
            _, received = await asyncio.gather(stream.write(data), rest(stream))
            assert received == hashlib.sha256(data).digest() + data
            await stream.wait_closed()
            stream.close()
        stream = await relays.open("7", "n1", other)
        every, echoed = bytes(range(256)) * 10, b""
        await stream.write(every)
        while len(echoed) < len(every):
            echoed += await stream.read()
        assert echoed == every
        stream.close()
    await login.ended()
    assert len(login.streams) == 4  # one has found out what the node has
    assert not relays.has("7")


@ONE_CONNECTION
async def test_the_input_of_a_step_ends_with_what_the_client_sends(login: Login, relays: PortRelays) -> None:
    """The session at the site ends a step then: a client that is gone must leave none."""
    async with listening(silent) as port:
        stream = await relays.open("7", "n1", port)
        await stream.write_eof()
        await eventually(lambda: login.streams[-1].write_ended)
        stream.close()
    await login.ended()


@ONE_CONNECTION
async def test_a_port_where_nothing_listens_is_named_by_a_step_of_its_own(login: Login, relays: PortRelays) -> None:
    nowhere = free_port()
    with pytest.raises(PortUnreachable, match=f"^nothing listens on port {nowhere} of n1$") as error:
        await relays.open("7", "n1", nowhere)
    assert error.value.code is Code.CONNECT_FAILED
    await login.ended()


@ONE_CONNECTION
async def test_a_program_that_listens_on_the_address_of_the_node_is_reached(login: Login, relays: PortRelays) -> None:
    async with listening(echo, "127.0.0.2") as port:
        stream = await relays.open("7", "n1", port)
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        stream.close()
    await login.ended()


@pytest.mark.parametrize("login", ["socat", "nc"], indirect=True)
async def test_a_single_connection_whose_step_is_killed_is_lost(login: Login, relays: PortRelays) -> None:
    async with listening(echo) as port:
        stream = await relays.open("7", "n1", port)
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        os.kill(last_child(login.streams[-1].process.pid), signal.SIGKILL)
        with pytest.raises(OutcomeUnknown, match="lost"):
            await stream.read()
        stream.close()
    await login.ended()


@ONE_CONNECTION
async def test_single_connections_have_the_limit_of_steps(login: Login, relays: PortRelays) -> None:
    async with listening(echo) as port:
        streams = [await relays.open(str(job % 2), "n1", port) for job in range(MOST_RELAYS)]
        with pytest.raises(Exception, match=f"{MOST_RELAYS} steps .srun. forward connections already"):
            await relays.open("7", "n1", port)
        streams[0].close()
        (await relays.open("7", "n1", port)).close()
        for stream in streams:
            stream.close()
    await login.ended()


@ONE_CONNECTION
async def test_what_a_node_has_for_single_connections_is_named(login: Login, relays: PortRelays) -> None:
    assert await relays.listen("7", "n1") == StepListener(login.path.name, None)


async def test_a_relay_listens_on_a_port_to_try_other_ways(relays: PortRelays) -> None:
    listener = await relays.listen("7", "n1")
    assert await relays.listen("7", "n1") == listener
    port = listener.port
    for _ in range(2):
        _, writer = await asyncio.open_connection("127.0.0.2", port)
        writer.close()
        await writer.wait_closed()


async def test_signals_that_a_pod_asks_for_do_not_end_it(login: Login, relays: PortRelays) -> None:
    """Such as --signal=USR1@600, ten minutes before the time limit: Slurm sends them to all steps."""
    async with listening(echo) as port:
        stream = await relays.open("7", "n1", port)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            os.kill(last_child(login.streams[0].process.pid), number)
            await stream.write(b"hello")
            assert await stream.read() == b"hello"


async def test_a_relay_that_has_ended_is_started_anew(login: Login, relays: PortRelays) -> None:
    async with listening(echo) as port:
        stream = await relays.open("7", "n1", port)
        login.streams[0].close()
        with pytest.raises(OutcomeUnknown, match="lost"):
            await stream.read()
        stream = await relays.open("7", "n1", port)
        await stream.write(b"again")
        assert await stream.read() == b"again"
    assert len(login.streams) == 2


async def test_a_relay_ends_when_idle(login: Login) -> None:
    relays = PortRelays(login.attach, config(PortForward={"IdleSeconds": 1}))
    async with listening(echo) as port:
        stream = await relays.open("7", "n1", port)
        await asyncio.sleep(1.5)
        assert relays.has("7")
        stream.close()
        await login.ended()
        await eventually(lambda: not relays.has("7"))


async def test_no_more_than_some_jobs_have_a_relay_at_a_time(login: Login, relays: PortRelays) -> None:
    async with listening(echo) as port:
        streams = [await relays.open(str(job), "n1", port) for job in range(MOST_RELAYS)]
        with pytest.raises(Exception, match=f"{MOST_RELAYS} steps .srun. forward connections already"):
            await relays.open("another", "n1", port)
        streams[3].close()
        (await relays.open("another", "n1", port)).close()
        await login.streams[3].process.wait()


# --- what can go wrong at the start ---


@pytest.mark.parametrize("login", ["perl"], indirect=True)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo 'srun: error: Unable to create step: Job is pending' >&2; exit 1", "Unable to create step"),
        ("echo srun says nothing useful; exit 3", "exit code 3"),
        (
            "rm -f perl; PATH=/nowhere",
            "has none of perl, python3, socat, a bash with /dev/tcp, and nc, which forward connections there",
        ),
    ],
)
async def test_a_step_that_cannot_start_says_why(login: Login, relays: PortRelays, text: str, words: str) -> None:
    if "nowhere" in text:
        (login.path / "perl").unlink()
    else:
        login.srun(text)
    with pytest.raises(PortUnreachable, match=words) as error:
        await relays.open("7", "n1", 8888)
    assert error.value.code is Code.NO_RELAY
    assert "srun cannot forward connections to n1 in job 7" in str(error.value)


@pytest.mark.parametrize("login", ["perl"], indirect=True)
async def test_options_that_profiles_set_for_srun_do_not_count(login: Login, relays: PortRelays) -> None:
    """huggingface/datatrove 248, redmod-team/profit 179, scalableminds/webknossos-libs 1483."""
    login.environment = {
        "SLURM_CPU_BIND": "mask_cpu:0x1",
        "SLURM_CPUS_PER_TASK": "128",
        "SRUN_CPUS_PER_TASK": "64",
        "SLURM_LABELIO": "1",
        "SLURM_CONF": "/etc/slurm/slurm.conf",
    }
    login.srun("env >&2; exit 1")
    with pytest.raises(PortUnreachable) as error:
        await relays.open("7", "n1", 8888)
    assert "SLURM_CONF=/etc/slurm/slurm.conf" in str(error.value)
    assert not re.search("(SLURM|SRUN)_(CPU|LABEL)", str(error.value))


@pytest.mark.parametrize("login", ["perl"], indirect=True)
async def test_noise_before_the_relay_is_skipped(login: Login, relays: PortRelays) -> None:
    login.srun('echo "Welcome"; printf "\\0\\377"; while [ "$1" != sh ]; do shift; done; exec "$@"')
    async with listening(echo) as port:
        stream = await relays.open("7", "n1", port)
        await stream.write(b"hello")
        assert await stream.read() == b"hello"


@pytest.mark.parametrize("login", ["perl", "python3"], indirect=True)
async def test_a_relay_that_hears_nothing_ends_by_itself(login: Login) -> None:
    # the arguments are sh -c TEXT relay HELLO QUIET PERL PYTHON
    login.srun('while [ "$1" != sh ]; do shift; done; exec "$1" "$2" "$3" "$4" "$5" 1 "$7" "$8"')
    relays = PortRelays(login.attach, config())
    async with listening(echo) as port:
        stream = await relays.open("7", "n1", port)
        await login.ended()
        with pytest.raises(OutcomeUnknown):
            await stream.read()
