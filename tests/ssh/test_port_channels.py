"""Connections to ports behind a login node: a real sshd forwards them."""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tenacity import wait_fixed

from remote_slurm.config import SSH
from remote_slurm.errors import Code, NotSent, OutcomeUnknown, PortUnreachable, Unreachable
from remote_slurm.ssh.circuit_breaker import Pace
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.port_channels import PortChannels
from remote_slurm.ssh.receive_window import FIRST_WINDOW, WindowBudget
from tests.local_ports import deaf, digest, echo, listening, pour, rest
from tests.sites import free_port
from tests.ssh.ssh_server import Sshd, StartSshd, eventually, ssh_threads

_MIB = 1024 * 1024


@contextlib.asynccontextmanager
async def channels(settings: SSH, **options: float) -> AsyncIterator[PortChannels]:
    connection = Connection(settings, pace=Pace(waits=wait_fixed(0), per_minute=1000))
    ports = PortChannels(connection, **options)
    try:
        yield ports
    finally:
        await ports.close()


async def test_bytes_go_both_ways_and_either_side_may_end_first(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports, listening(echo) as echoing, listening(digest) as digesting:
        stream = await ports.open("127.0.0.1", echoing)
        await stream.write(b"\x00\xff hello")
        assert await stream.read() == b"\x00\xff hello"
        stream.close()
        stream = await ports.open("127.0.0.1", digesting)
        await stream.write(b"all of it")
        await stream.write_eof()
        assert await rest(stream) == hashlib.sha256(b"all of it").hexdigest().encode()
        stream.close()


async def test_a_port_may_end_first_and_still_take_more(sshd: Sshd) -> None:
    taken = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"goodbye")
        writer.write_eof()
        taken.set_result(await reader.read())

    async with channels(sshd.settings()) as ports, listening(handle) as port:
        stream = await ports.open("127.0.0.1", port)
        assert await rest(stream) == b"goodbye"
        await stream.write(b"one more thing")
        await stream.write_eof()
        assert await taken == b"one more thing"
        await stream.wait_closed()


async def test_large_transfers_arrive_whole_in_both_directions_at_once(sshd: Sshd) -> None:
    data = os.urandom(24 * _MIB)

    async with channels(sshd.settings()) as ports, listening(echo) as port:
        stream = await ports.open("127.0.0.1", port)

        async def send() -> None:
            await stream.write(data)
            await stream.write_eof()

        _, received = await asyncio.gather(send(), rest(stream))
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


async def test_a_port_where_nothing_listens_is_named_and_others_go_on(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports, listening(echo) as port:
        stream = await ports.open("127.0.0.1", port)
        nowhere = free_port()
        with pytest.raises(
            PortUnreachable, match=f"cannot connect to 127.0.0.1 port {nowhere}: Connection refused"
        ) as error:
            await ports.open("127.0.0.1", nowhere)
        assert error.value.code is Code.CONNECT_FAILED
        await stream.write(b"still here")
        assert await stream.read() == b"still here"


async def test_each_of_many_that_fail_at_once_gets_its_own_reason(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports:
        names = ["127.0.0.1"] * 10 + ["no-such-host.invalid"] * 10
        nowhere = free_port()
        errors = await asyncio.gather(*(ports.open(name, nowhere) for name in names), return_exceptions=True)
        assert all(isinstance(each, PortUnreachable) and each.code is Code.CONNECT_FAILED for each in errors)
        assert all("Connection refused" in str(each) for each in errors[:10])
        assert all("no-such-host.invalid" in str(each) and "refused" not in str(each) for each in errors[10:])


async def test_a_login_node_that_forwards_nothing_says_so(start_sshd: StartSshd) -> None:
    server = start_sshd("AllowTcpForwarding no")
    async with channels(server.settings()) as ports:
        with pytest.raises(PortUnreachable, match="forwards no connections") as error:
            await ports.open("127.0.0.1", free_port())
        assert error.value.code is Code.FORWARDING_PROHIBITED


async def test_a_restricted_key_forwards_nothing(sshd: Sshd) -> None:
    keys = sshd.folder / "authorized_keys"
    keys.write_text(f"restrict {keys.read_text()}")
    async with channels(sshd.settings()) as ports:
        with pytest.raises(PortUnreachable) as error:
            await ports.open("127.0.0.1", free_port())
        assert error.value.code is Code.FORWARDING_PROHIBITED


async def test_a_client_that_reads_nothing_holds_at_most_a_window(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports, listening(pour) as pouring, listening(echo) as port:
        stalled = await ports.open("127.0.0.1", pouring)
        held = stalled._channel.in_buffer
        await eventually(lambda: len(held) == FIRST_WINDOW)
        other = await ports.open("127.0.0.1", port)
        for _ in range(50):
            await other.write(b"y" * 10_000)
            received = 0
            while received < 10_000:
                received += len(await other.read())
        assert len(held) == FIRST_WINDOW
        stalled.close()


async def test_a_stream_that_always_has_bytes_lets_other_work_have_its_turns(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports, listening(pour) as port:
        stream = await ports.open("127.0.0.1", port)
        turns = 0

        async def other_work() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(other_work())
        await eventually(lambda: len(stream._channel.in_buffer) == FIRST_WINDOW)
        before = turns
        assert len(await stream.read()) + len(await stream.read()) == FIRST_WINDOW
        assert turns >= before + 2
        other.cancel()
        stream.close()


async def test_the_window_grows_for_a_client_that_keeps_up_and_is_given_back(sshd: Sshd) -> None:
    async def much(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 64 * _MIB)
        await writer.drain()

    async with channels(sshd.settings()) as ports, listening(much) as port:
        stream = await ports.open("127.0.0.1", port)
        received = 0
        while data := await stream.read():
            received += len(data)
        assert received == 64 * _MIB
        assert stream._window.size > FIRST_WINDOW
        before = ports._budget._left
        stream.close()
        assert ports._budget._left == before + stream._window.size - FIRST_WINDOW == WindowBudget()._left


async def test_two_hundred_connections_need_two_threads(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports, listening(echo) as port:
        first = await ports.open("127.0.0.1", port)
        await eventually(lambda: len(ssh_threads()) <= 3)
        before = len(ssh_threads())
        streams = [first, *await asyncio.gather(*(ports.open("127.0.0.1", port) for _ in range(50)))]
        for _ in range(3):
            streams += await asyncio.gather(*(ports.open("127.0.0.1", port) for _ in range(50)))
        await asyncio.gather(*(stream.write(b"%d" % number) for number, stream in enumerate(streams)))
        answers = await asyncio.gather(*(stream.read() for stream in streams))
        assert answers == [b"%d" % number for number in range(len(streams))]
        await eventually(lambda: len(ssh_threads()) <= before)


async def test_nothing_is_left_of_connections_one_after_another(sshd: Sshd) -> None:
    async def once(number: int) -> None:
        stream = await ports.open("127.0.0.1", port)
        await stream.write(b"%d" % number)
        assert await stream.read() == b"%d" % number
        stream.close()

    def descriptors() -> int:
        return len([*Path("/proc/self/fd").iterdir()])

    async with channels(sshd.settings()) as ports, listening(echo) as port:
        await once(0)
        await asyncio.sleep(0.2)
        before = descriptors()
        for number in range(300):
            await once(number)
        assert ports._link
        known = ports._link.transport._channels  # type: ignore[attr-defined]
        await eventually(lambda: len(known) == 0)
        await eventually(lambda: descriptors() <= before)


async def test_a_port_without_an_answer_is_given_up_and_closed_later(sshd: Sshd) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = []
        for _ in range(2):  # the kernel drops what comes after these
            filler = socket.socket()
            filler.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                filler.connect(address)
            fillers.append(filler)
        async with channels(sshd.settings(), open_seconds=0.5) as ports, listening(echo) as port:
            with pytest.raises(PortUnreachable, match="did not answer") as error:
                await ports.open(*address)
            assert error.value.code is Code.NO_ANSWER
            stream = await ports.open("127.0.0.1", port)
            await stream.write(b"hello")
            assert await stream.read() == b"hello"
            full.settimeout(0)
            late: list[socket.socket] = []

            def accepted() -> bool:
                with contextlib.suppress(BlockingIOError):
                    late.append(full.accept()[0])
                return len(late) == 3

            await eventually(accepted)
            late[2].settimeout(60)
            assert await asyncio.to_thread(late[2].recv, 1) == b""
            for each in [*late, *fillers]:
                each.close()


async def test_the_connection_ends_when_idle_and_comes_back(sshd: Sshd) -> None:
    async with channels(sshd.settings(), idle_seconds=0.2) as ports, listening(echo) as port:
        stream = await ports.open("127.0.0.1", port)
        await asyncio.sleep(0.5)
        assert ports._connection.connected
        stream.close()
        await eventually(lambda: not ports._connection.connected)
        assert ports._connection.state.last_error == ""
        stream = await ports.open("127.0.0.1", port)
        await stream.write(b"again")
        assert await stream.read() == b"again"
        assert ports._connection.state.connects == 2


async def test_a_script_is_attached_to_a_stream(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports:
        stream = await ports.attach("echo ready; cat; echo done")
        every = bytes(range(256)) * 1000
        await stream.write(every)
        await stream.write_eof()
        output = await rest(stream)
        assert b"ready\n" + every + b"done\n" in output
        stream.close()


async def test_a_script_that_ends_first_ends_its_stream(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports:
        stream = await ports.attach("echo bye; exit 3")
        assert b"bye\n" in await rest(stream)
        await stream.wait_closed()
        stream.close()


@pytest.mark.parametrize("end", ["stream", "connection"])
async def test_nothing_is_left_of_a_script_whose_client_has_gone(sshd: Sshd, tmp_path: Path, end: str) -> None:
    pid = tmp_path / "pid"
    async with channels(sshd.settings()) as ports:
        stream = await ports.attach(f"sh -c 'echo $$ >{pid}; trap \"\" HUP TERM; while :; do sleep 1; done'")
        await eventually(lambda: pid.exists() and pid.read_text())
        if end == "stream":
            stream.close()
        elif ports._link:
            ports._link.transport.sock.close()
        await eventually(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists())


async def test_a_lost_connection_is_reported_and_the_next_one_is_made_anew(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports, listening(echo) as port:
        stream = await ports.open("127.0.0.1", port)
        assert ports._link
        ports._link.transport.sock.close()
        with pytest.raises(OutcomeUnknown, match="lost"):
            await stream.read()
        with pytest.raises(OutcomeUnknown):
            await stream.write(b"x" * _MIB)
        again = await ports.open("127.0.0.1", port)
        await again.write(b"x")
        assert await again.read() == b"x"


async def test_a_site_that_is_away_is_unreachable(sshd: Sshd) -> None:
    sshd.stop()
    async with channels(sshd.settings()) as ports:
        with pytest.raises(Unreachable):
            await ports.open("127.0.0.1", 1)


async def test_closing_ends_what_waits_to_read_and_to_write(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as ports, listening(deaf) as port:
        stream = await ports.open("127.0.0.1", port)
        waiting = [asyncio.create_task(stream.read()), asyncio.create_task(stream.write(b"x" * 32 * _MIB))]
        await asyncio.sleep(0.3)
        stream.close()
        for each in waiting:
            with pytest.raises(OutcomeUnknown):
                await each


async def test_two_connections_share_the_limit_of_attempts(sshd: Sshd) -> None:
    first = Connection(sshd.settings(), pace=Pace(waits=wait_fixed(0), per_minute=2))
    other = first.sibling()
    try:
        await first.link()
        await other.link()
        await other.disconnect()
        with pytest.raises(NotSent, match="2 connections within a minute"):
            await other.link()
        assert first.connected
    finally:
        await other.close()
        await first.close()
