"""Commands at the login node, over connections of their own, at a real sshd."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tenacity import wait_fixed

from remote_slurm.config import SSH
from remote_slurm.errors import NotSent, OutcomeUnknown
from remote_slurm.ssh.circuit_breaker import Pace
from remote_slurm.ssh.command_channels import CommandChannels
from remote_slurm.ssh.command_stream import CommandStream
from remote_slurm.ssh.connection import Connection
from tests.ssh.ssh_server import Sshd, StartSshd, eventually

# Prints its process id, and ends by a signal only
ENDLESS = "trap 'echo told; exit 7' TERM HUP; echo $$; while :; do sleep 0.1; done"


@contextlib.asynccontextmanager
async def channels(settings: SSH, **options: float) -> AsyncIterator[CommandChannels]:
    connection = Connection(settings, pace=Pace(waits=wait_fixed(0), per_minute=1000))
    commands = CommandChannels(connection, **options)
    try:
        yield commands
    finally:
        await commands.close()


async def rest(stream: CommandStream) -> tuple[bytes, bytes]:
    """Standard output and standard error, to their ends."""

    async def read(more: Callable[[], Awaitable[bytes]]) -> bytes:
        parts = []
        while data := await more():
            parts.append(data)
        return b"".join(parts)

    return tuple(await asyncio.gather(read(stream.read), read(stream.read_error)))  # type: ignore[return-value]


async def pid_of(stream: CommandStream) -> int:
    """What ENDLESS has printed in its last line."""
    lines = b""
    while not lines.rstrip(b"\n").rpartition(b"\n")[2].isdigit():
        lines += await stream.read()
    return int(lines.split()[-1])


async def kill_watcher(commands: CommandChannels) -> None:
    """The shell beside the only command, which has the same parent: sshd's process of the connection."""
    probe = await commands.open("echo $PPID")
    parent = int((await rest(probe))[0])
    probe.close()
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (watcher,) = (pid for pid in children if b"while read -r -t" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(int(watcher), signal.SIGKILL)


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:4]
    return False


async def test_output_and_error_come_apart_and_input_to_its_end(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as commands:
        stream = await commands.open("wc -c; echo error >&2; printf 'no newline'")
        for _ in range(40):
            await stream.write(b"x" * 50_000)
        await stream.write_eof()
        assert await rest(stream) == (b"2000000\nno newline", b"error\n")
        stream.close()


async def test_much_of_both_outputs_comes_whole(sshd: Sshd) -> None:
    script = "head -c 5000000 /dev/zero & head -c 3000000 /dev/zero >&2; wait"
    async with channels(sshd.settings()) as commands:
        stream = await commands.open(script)
        output, error = await rest(stream)
        assert (len(output), len(error)) == (5_000_000, 3_000_000)
        stream.close()


async def test_a_script_is_in_no_argument_and_may_hold_anything(sshd: Sshd) -> None:
    script = "printf '%s' 'a\n\"b\\ é $HOME'; cat /proc/$$/cmdline | tr '\\0' ' ' >&2"
    async with channels(sshd.settings()) as commands:
        stream = await commands.open(script)
        output, error = await rest(stream)
        stream.close()
    assert output.decode() == 'a\n"b\\ é $HOME'
    assert b"printf '%s'" not in error


async def test_a_terminal_is_as_large_as_it_is_told(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as commands:
        stream = await commands.open("trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.1; done", (99, 33))
        assert await stream.read() == b"33 99\n"
        stream.resize(120, 40)
        assert (await rest(stream))[0] == b"40 120\n"
        stream.close()


@pytest.mark.parametrize("terminal", [None, (80, 24)])
async def test_a_stream_that_is_closed_ends_its_command_and_no_other(
    sshd: Sshd, terminal: tuple[int, int] | None
) -> None:
    async with channels(sshd.settings()) as commands:
        ended, other = [await commands.open(ENDLESS, terminal) for _ in range(2)]
        pids = [await pid_of(ended), await pid_of(other)]
        ended.close()
        await eventually(lambda: not runs(pids[0]))
        assert runs(pids[1])
    await eventually(lambda: not runs(pids[1]))


async def test_a_lost_connection_ends_all_its_commands(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as commands:
        stream = await commands.open(ENDLESS)
        pid = await pid_of(stream)
        line = commands._lines[0]
        assert line._link
        line._link.close()
        with pytest.raises(OutcomeUnknown):
            await stream.read()
        await eventually(lambda: not runs(pid))
        again = await commands.open("echo again")
        assert (await rest(again))[0] == b"again\n"
        again.close()


async def test_further_connections_are_made_for_more_sessions_than_one_has(start_sshd: StartSshd) -> None:
    sshd = start_sshd("MaxSessions 3")
    async with channels(sshd.settings()) as commands:
        streams = await asyncio.gather(*(commands.open("cat") for _ in range(7)))
        for number, stream in enumerate(streams):
            await stream.write(b"%d" % number)
            await stream.write_eof()
            assert (await rest(stream))[0] == b"%d" % number
            stream.close()
        assert 4 <= len(commands._lines) <= 8


async def test_a_site_that_allows_one_session_is_a_sentence(start_sshd: StartSshd) -> None:
    sshd = start_sshd("MaxSessions 1")
    async with channels(sshd.settings()) as commands:
        with pytest.raises(NotSent, match="no further session could be opened for a command"):
            await commands.open("true")


async def test_a_watcher_that_was_killed_is_replaced_for_all_commands(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as commands:
        before = await commands.open(f"read -r line; echo $line; {ENDLESS}")
        watcher = commands._lines[0]._watcher
        await kill_watcher(commands)
        await eventually(lambda: watcher and not watcher.alive)
        after = await commands.open(ENDLESS)
        await before.write(b"still heard\n")
        pids = [await pid_of(before), await pid_of(after)]
        before.close()
        after.close()
        await eventually(lambda: not any(map(runs, pids)))


async def test_a_command_ends_although_its_watcher_was_killed(sshd: Sshd) -> None:
    async with channels(sshd.settings()) as commands:
        stream = await commands.open(ENDLESS)
        pid = await pid_of(stream)
        await kill_watcher(commands)
        stream.close()
        await eventually(lambda: not runs(pid))


async def test_an_idle_connection_ends_and_is_made_again(sshd: Sshd) -> None:
    async with channels(sshd.settings(), idle_seconds=0.1) as commands:
        for _ in range(2):
            stream = await commands.open("echo hi")
            assert (await rest(stream))[0] == b"hi\n"
            stream.close()
            await eventually(lambda: not commands._lines[0]._connection.connected)


async def test_a_site_without_terminals_is_a_sentence(start_sshd: StartSshd) -> None:
    sshd = start_sshd("PermitTTY no")
    async with channels(sshd.settings()) as commands:
        with pytest.raises(NotSent, match="gives this account no terminal: authorized_keys there has restrict"):
            await commands.open("true", (80, 24))
        stream = await commands.open("echo hi")
        assert (await rest(stream))[0] == b"hi\n"
        stream.close()
