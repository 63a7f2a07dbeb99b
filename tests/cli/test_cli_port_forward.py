"""`remote-slurm port-forward`, as a process: kubectl's words, and connections through it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote_slurm.cli.port_forward import Ports, ports
from remote_slurm.domain.slurm.job_states import JobState
from tests.api.api_client import until
from tests.forwarding import PORT, TOKEN, Forwarding, forwarding
from tests.local_ports import digest, echo, silent
from tests.sidecar import ENVIRONMENT, PROGRAM


@dataclass
class Command:
    process: asyncio.subprocess.Process

    async def line(self) -> str:
        assert self.process.stdout
        return (await asyncio.wait_for(self.process.stdout.readline(), 60)).decode().strip()

    async def complaint(self) -> str:
        assert self.process.stderr
        return (await asyncio.wait_for(self.process.stderr.readline(), 60)).decode().strip()

    async def listening(self) -> int:
        """The port of this machine that it has chosen."""
        line = await self.line()
        assert line.startswith("Forwarding from 127.0.0.1:"), line
        return int(line.split()[2].rpartition(":")[2])

    async def code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 60)


@contextlib.asynccontextmanager
async def command(server: Forwarding, *arguments: str, url: str = "", pod: str = "team/web") -> AsyncIterator[Command]:
    where = ["--url", url or server.url, "--token-file", str(server.token_file)]
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "port-forward", *where, pod, *arguments, stdout=-1, stderr=-1, stdin=-3, env=ENVIRONMENT
    )
    try:
        yield Command(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Forwarding]:
    async with forwarding(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def local(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("text", "found"),
    [("8888", Ports(8888, 8888)), ("80:8888", Ports(80, 8888)), (":1", Ports(0, 1)), ("0:1", Ports(0, 1))],
)
def test_ports_are_read_as_kubectl_reads_them(text: str, found: Ports) -> None:
    assert ports(text) == found


async def test_it_says_what_it_does_and_forwards_with_both_ends(server: Forwarding) -> None:
    async with server.listening(digest), command(server, f":{PORT}", "--address", "127.0.0.1") as program:
        port = await program.listening()
        for text in (b"one", b"two"):
            async with local(port) as (reader, writer):
                writer.write(text)
                writer.write_eof()
                assert len(await reader.read()) == 64
            assert await program.line() == f"Handling connection for {port}"
        program.process.send_signal(2)
        assert await program.code() == 0


async def test_it_ends_without_a_word_while_connections_are_open(server: Forwarding) -> None:
    async with server.listening(silent), command(server, f":{PORT}", "--address", "127.0.0.1") as program:
        port = await program.listening()
        async with local(port), local(port):
            await until(lambda: len(server.forwards._open) == 2)
            program.process.send_signal(2)
            assert await program.code() == 0
        assert program.process.stderr
        assert await program.process.stderr.read() == b""


async def test_localhost_has_both_addresses(server: Forwarding) -> None:
    async with server.listening(echo), command(server, f":{PORT}") as program:
        port = await program.listening()
        if socket.has_ipv6 and _has_loopback6():
            assert await program.line() == f"Forwarding from [::1]:{port} -> {PORT}"


def _has_loopback6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


async def test_a_pending_pod_is_waited_for(tmp_path: Path) -> None:
    async with (
        forwarding(tmp_path, JobState.PENDING) as server,
        server.listening(echo),
        command(server, f":{PORT}", "--address", "127.0.0.1") as program,
    ):
        said = await program.complaint()
        assert said.startswith("pod team/web is pending")
        assert said.endswith("waiting until it runs")
        server.job.state = JobState.RUNNING
        await server.polled()
        async with local(await program.listening()) as (reader, writer):
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"


async def test_it_ends_with_the_pod(server: Forwarding) -> None:
    async with server.listening(silent), command(server, f":{PORT}", "--address", "127.0.0.1") as program:
        async with local(await program.listening()) as (reader, _):
            await until(lambda: server.forwards._open)
            server.site.account.end(server.job, JobState.FAILED)
            tracked = next(iter(server.pods.pod_store))
            tracked.finalize()
            assert await _rest(reader) == b""
            assert await program.code() == 1
        assert program.process.stderr
        assert b"lost connection to pod: team/web has ended" in await program.process.stderr.read()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


async def test_a_port_where_nothing_listens_ends_one_connection_only(server: Forwarding) -> None:
    async with command(server, f":{PORT}", "--address", "127.0.0.1") as program:
        port = await program.listening()
        async with local(port) as (reader, _):
            assert await _rest(reader) == b""
        said = await program.complaint()
        assert said == f"an error occurred forwarding {port} -> {PORT}: nothing listens on port {PORT} of n1"
        async with server.listening(echo), local(port) as (reader, writer):
            writer.write(b"now")
            assert await reader.readexactly(3) == b"now"


async def test_it_survives_a_restart_of_the_sidecar(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with contextlib.AsyncExitStack() as stack:
        async with forwarding(tmp_path / "a") as server:
            program = await stack.enter_async_context(command(server, f":{PORT}", "--address", "127.0.0.1"))
            port = await program.listening()
            url = server.url
        assert (await program.complaint()).startswith("no sidecar answers at")
        connecting = await stack.enter_async_context(local(port))
        again = int(url.rpartition(":")[2])
        async with forwarding(tmp_path / "b", Port=again) as server, server.listening(echo):
            connecting[1].write(b"hello")
            assert await connecting[0].readexactly(5) == b"hello"


@pytest.mark.parametrize(
    ("arguments", "pod", "said"),
    [
        (["8888"], "team/nobody", "there is no pod team/nobody"),
        (["8888", "-n", "other"], "web", "there is no pod other/web"),
    ],
)
async def test_an_unknown_pod_is_an_error(server: Forwarding, arguments: list[str], pod: str, said: str) -> None:
    async with command(server, *arguments, pod=pod) as program:
        assert await program.complaint() == f"remote-slurm: {said}"
        assert await program.code() == 1


async def test_a_wrong_token_is_an_error(server: Forwarding) -> None:
    server.token_file.write_text("another-0123456789abcdef\n")
    wrong = server.token_file.with_name("wrong")
    wrong.write_text(TOKEN)
    async with command(server, "8888", "--token-file", str(wrong)) as program:
        assert "PortForward.TokenFile" in await program.complaint()
        assert await program.code() == 1


async def test_a_local_port_in_use_is_named(server: Forwarding) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with command(server, f"{port}:{PORT}", "--address", "127.0.0.1") as program:
            assert await program.complaint() == (
                f"remote-slurm: unable to listen on 127.0.0.1:{port}: Address already in use"
            )
            assert await program.code() == 1


@pytest.mark.parametrize("wrong", ["http", "8888:", "1:2:3", "70000", "8888:0"])
async def test_wrong_ports_are_refused_with_an_example(server: Forwarding, wrong: str) -> None:
    async with command(server, f"{wrong}") as program:
        assert await program.code() == 2
        assert program.process.stderr
        assert wrong.encode() in await program.process.stderr.read()
