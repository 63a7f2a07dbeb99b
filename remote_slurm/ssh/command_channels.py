"""Commands at the login node that clients talk to, each in a session of its own, on SSH connections of their own.

They take no session from the scripts of the sidecar. sshd allows 10 sessions per connection (MaxSessions): another
connection is made if there are more commands. A connection ends when it has not been used for a while.

sshd sends no signal to a command without a terminal when its channel or its connection is closed. One session of each
connection, the watcher, has the process ids of its commands, and sends them SIGTERM: on request, when its own input
ends, or when nothing has come for a while. It confirms each line; another one takes its place if it was killed.
"""

import asyncio
import contextlib
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable

import paramiko

from remote_slurm.errors import NotSent, OutcomeUnknown, SiteError
from remote_slurm.ssh.channel_stream import ChannelStream
from remote_slurm.ssh.command_stream import CommandStream
from remote_slurm.ssh.connect import Transport
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.framing import nonce
from remote_slurm.ssh.idle_timer import IDLE_SECONDS, IdleTimer
from remote_slurm.ssh.receive_window import FIRST_WINDOW, ReceiveWindow, WindowBudget
from remote_slurm.ssh.remote_shell import ANOTHER_SHELL, NoSession, shown
from remote_slurm.ssh.threads import detach, in_thread
from remote_slurm.ssh.writer_thread import WriterThread

OPEN_SECONDS = 30.0
_MOST_CONNECTIONS = 8
_HEARTBEAT_SECONDS = 15.0
_SILENCE_SECONDS = 60
_PACKET = 64 * 1024
_NOISE = 4096
# A terminal would print what it is sent, and cut long lines. The process id is that of the shell that runs the script.
# Nothing of it is secret: all users of the login node can read it.
_BEGIN = (
    'exec /bin/sh -c \'test -t 0 && stty raw -echo; printf "\\036%s ready %s\\036" {nonce} $$; read -r size && '
    'script=$(dd bs=1 count="$size" 2>/dev/null) && eval "$script"\''
)
# The connection may be lost before it confirms a line: without the trap, it would end by SIGPIPE then.
_WATCHER = f"""\
exec bash -c 'trap "" PIPE; pids=" "
while read -r -t {_SILENCE_SECONDS} word pid; do
    case $word in
        add) pids="$pids$pid " ;;
        end) [[ $pids != *" $pid "* ]] || kill -TERM "$pid"; pids=${{pids/ $pid / }} ;;
    esac
    printf .
done
[[ -z ${{pids// /}} ]] || kill -TERM $pids' 2>/dev/null
"""


class CommandChannels:
    """Runs scripts in sessions of their own. Lives in one event loop."""

    def __init__(
        self, connection: Connection, *, idle_seconds: float = IDLE_SECONDS, open_seconds: float = OPEN_SECONDS
    ) -> None:
        self._first = connection
        self._idle_seconds = idle_seconds
        self._open_seconds = open_seconds
        self._lines: list[_Line] = []

    async def open(self, script: str, terminal: tuple[int, int] | None = None) -> CommandStream:
        """Run `script` in a POSIX shell, with a terminal of so many columns and rows if there is one.

        A script must end when it is sent SIGTERM, which comes when the stream is closed or the connection is lost.
        Raises NotSent, or what `Connection.link` raises.
        """
        refused: NoSession | None = None
        for index in range(_MOST_CONNECTIONS):
            if index == len(self._lines):
                connection = self._first.sibling() if index else self._first
                self._lines.append(_Line(connection, self._idle_seconds, self._open_seconds))
            if self._lines[index].is_full:
                continue
            try:
                return await self._lines[index].open(script, terminal)
            except NoSession as error:
                refused = error
                if not self._lines[index].in_use:
                    break  # the site allows no two sessions: another connection has no more
        raise NotSent(
            f"no further session could be opened for a command: {refused or 'all connections are full'}: try again "
            "when another command has ended"
        )

    async def close(self) -> None:
        """End all commands and connections."""
        await asyncio.gather(*(line.close() for line in self._lines))


class _Line:
    """One connection with its watcher."""

    def __init__(self, connection: Connection, idle_seconds: float, open_seconds: float) -> None:
        self._connection = connection
        self._open_seconds = open_seconds
        self._link: Transport | None = None
        self._writer: WriterThread | None = None
        self._watcher: _Watcher | None = None
        self._lock = asyncio.Lock()
        self._budget = WindowBudget()
        self._streams: dict[ChannelStream, str] = {}
        self._sessions: set[ChannelStream] = set()  # that the site has granted, with that of the watcher
        self._limit: int | None = None
        self._idle = IdleTimer(connection, idle_seconds, lambda: bool(self._streams))
        self._replacing: asyncio.Task[None] | None = None

    @property
    def in_use(self) -> int:
        """How many commands run, or are being started."""
        return len(self._streams) + self._idle.opening

    @property
    def is_full(self) -> bool:
        """Whether the site has refused a session with so many."""
        return self._limit is not None and len(self._sessions) >= self._limit

    async def open(self, script: str, terminal: tuple[int, int] | None) -> CommandStream:
        """Raises NoSession if the site allows no further session on the connection."""
        with self._idle.used():
            writer = await self._ready()
            assert self._link is not None  # noqa: S101 - of _ready
            try:
                stream, _ = await self._started(self._link, writer, script, terminal, self._watch)
            except NoSession:
                self._limit = len(self._sessions)
                raise
            return stream

    async def _watch(self, stream: CommandStream, pid: str) -> None:
        """Make the process id known to the watcher before the script is sent, on the same connection."""
        self._streams[stream] = pid
        if self._watcher:
            await self._watcher.add(pid)

    async def close(self) -> None:
        """End all commands and the connection."""
        for stream in list(self._streams):
            stream.close()
        self._idle.stop()
        if self._replacing:
            self._replacing.cancel()
        await self._end_watcher()
        await self._connection.close()
        if self._writer:
            self._writer.stop()

    async def _ready(self) -> WriterThread:
        """Make the connection, with its watcher."""
        async with self._lock:
            link = await self._connection.link()
            if link is not self._link or self._writer is None:
                if self._writer:
                    self._writer.stop()
                await self._end_watcher()
                self._link, self._writer = link, WriterThread("ssh-exec")
                self._limit, self._sessions = None, set()
            if self._watcher is None or not self._watcher.alive:
                self._watcher = await self._started_watcher(link, self._writer)
            return self._writer

    async def _started_watcher(self, link: Transport, writer: WriterThread) -> "_Watcher":
        """One that has the process ids of all commands, in the place of one that has ended."""
        lost = self._watcher.unconfirmed_ends if self._watcher else []
        await self._end_watcher()
        stream, _ = await self._started(link, writer, _WATCHER, None)
        watcher = _Watcher(stream, self._watcher_ended)
        for pid in [*(pid for each, pid in self._streams.items() if each in self._sessions), *lost]:
            await watcher.add(pid)
        for pid in lost:
            watcher.end(pid)
        return watcher

    async def _end_watcher(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher:
            await watcher.close()

    def _watcher_ended(self, watcher: "_Watcher") -> None:
        if watcher is self._watcher and (self._streams or watcher.unconfirmed_ends):
            self._replacing = asyncio.create_task(self._replace_watcher(watcher), name="ssh-exec-watcher-again")

    async def _replace_watcher(self, watcher: "_Watcher") -> None:
        """Until there is one, or the connection is lost, at whose end the site ends all commands."""
        while self._link and self._link.alive and self._writer:
            with contextlib.suppress(SiteError):
                async with self._lock:
                    if watcher is self._watcher:
                        self._watcher = await self._started_watcher(self._link, self._writer)
                return
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _started(
        self,
        link: Transport,
        writer: WriterThread,
        script: str,
        terminal: tuple[int, int] | None,
        begin: Callable[[CommandStream, str], Awaitable[None]] | None = None,
    ) -> tuple[CommandStream, str]:
        """Start a shell, call `begin` with its process id, and send the script."""
        mark, noise = nonce(), b""
        ready = re.compile(rb"\036%b ready ([0-9]+)\036" % mark.encode())
        opening = _Opening(link, _BEGIN.format(nonce=mark), terminal)
        stream: CommandStream | None = None
        try:
            async with asyncio.timeout(self._open_seconds):
                channel = await in_thread("ssh-exec", opening.run)
                stream = CommandStream(channel, link.host, writer, ReceiveWindow(self._budget), self._ended)
                self._sessions.add(stream)
                while not (found := ready.search(noise)):
                    data = await stream.read()
                    noise = (noise + data)[-_NOISE:]
                    if not data:
                        raise NotSent(f"the login shell at {link.host} ended, and printed {shown(noise)}")
                if begin:
                    await begin(stream, found[1].decode())
                text = script.encode(errors="surrogateescape")
                await stream.write(b"%d\n%b" % (len(text), text))
        except TimeoutError:
            raise NotSent(
                f"{link.host} did not start a shell within {self._open_seconds:g} s, and printed {shown(noise)}: "
                f"{ANOTHER_SHELL}"
            ) from None
        except OutcomeUnknown as error:
            raise NotSent(f"the connection to {link.host} was lost: {error}") from error
        else:
            started, stream = stream, None
            return started, found[1].decode()
        finally:
            if stream is not None:
                stream.close()
            else:
                opening.abandon_if_late()

    def _ended(self, stream: ChannelStream) -> None:
        self._sessions.discard(stream)
        pid = self._streams.pop(stream, "")
        if pid and self._watcher:
            self._watcher.end(pid)
        self._idle.rest()


class _Watcher:
    """The session that ends commands."""

    def __init__(self, stream: CommandStream, on_end: Callable[["_Watcher"], None]) -> None:
        self._stream = stream
        self._on_end = on_end
        self._lines: asyncio.Queue[tuple[bytes, asyncio.Event]] = asyncio.Queue()
        self._unconfirmed: deque[bytes] = deque()
        self._task = asyncio.create_task(self._run(), name="ssh-exec-watcher")

    @property
    def alive(self) -> bool:
        return not self._task.done()

    @property
    def unconfirmed_ends(self) -> list[str]:
        """Commands that it was to end, and may not have ended."""
        return [line.split()[1].decode() for line in self._unconfirmed if line.startswith(b"end")]

    async def add(self, pid: str) -> None:
        """Watch over a command. Return when the line is sent, or the watcher has ended."""
        sent = asyncio.create_task(self._put(b"add %b\n" % pid.encode()).wait())
        await asyncio.wait({sent, self._task}, return_when=asyncio.FIRST_COMPLETED)
        sent.cancel()

    def end(self, pid: str) -> None:
        """End a command, and watch over it no more."""
        self._put(b"end %b\n" % pid.encode())

    async def close(self) -> None:
        """End all its commands."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._stream.close()

    def _put(self, line: bytes) -> asyncio.Event:
        """Return what is set once the line is sent."""
        sent = asyncio.Event()
        self._unconfirmed.append(line)
        self._lines.put_nowait((line, sent))
        return sent

    async def _run(self) -> None:
        writing = asyncio.create_task(self._write(), name="ssh-exec-heartbeat")
        try:
            with contextlib.suppress(SiteError):
                while confirmed := await self._stream.read():
                    for _ in confirmed[: len(self._unconfirmed)]:
                        self._unconfirmed.popleft()
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        asyncio.get_running_loop().call_soon(self._on_end, self)

    async def _write(self) -> None:
        while True:
            next_line = None
            # wait_for of Python 3.11 would lose a cancellation that comes together with a line
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    next_line = await self._lines.get()
            if next_line:
                line, sent = next_line
                await self._stream.write(line)
                sent.set()
            else:
                self._put(b"\n")


class _Opening:
    """Opens a session and starts a program in it, in a thread."""

    def __init__(self, link: Transport, command: str, terminal: tuple[int, int] | None) -> None:
        self._link = link
        self._command = command
        self._terminal = terminal
        self._channel: paramiko.Channel | None = None
        self._lock = threading.Lock()
        self._is_done = self._abandoned = False

    def run(self) -> paramiko.Channel:
        """Raises NoSession, or NotSent if the connection is dead."""
        try:
            channel = self._link.transport.open_session(window_size=FIRST_WINDOW, max_packet_size=_PACKET)
            self._channel = channel
            if self._terminal:
                self._add_terminal(channel, self._terminal)
            channel.exec_command(self._command)
        except paramiko.ChannelException as error:
            raise NoSession(f"{self._link.host} allows no further session ({error.text})") from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            if self._link.alive and self._channel is None:
                raise NoSession(f"{self._link.host} allows no further session") from error
            raise NotSent(f"{self._link.host} did not start a shell: {error or type(error).__name__}") from error
        with self._lock:
            self._is_done = True
            if self._abandoned:
                channel.close()
        return channel

    def _add_terminal(self, channel: paramiko.Channel, size: tuple[int, int]) -> None:
        try:
            channel.get_pty("xterm", *size)
        except paramiko.SSHException as error:
            if not self._link.alive:
                raise
            raise NotSent(
                f"{self._link.host} gives this account no terminal",
                remedy="authorized_keys there has restrict or no-pty, or sshd has PermitTTY no: add pty to the options "
                "of the key, or leave -t out",
            ) from error

    def abandon_if_late(self) -> None:
        """Close the session if it is opened from now on. Never waits."""
        with self._lock:
            self._abandoned = not self._is_done
        if self._abandoned and self._channel is not None:
            detach("ssh-close", self._channel.close)
