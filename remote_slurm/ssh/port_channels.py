"""Connections to ports of compute nodes, and to scripts: channels on an SSH connection of their own.

What is transferred there does not delay scripts. The connection is made when it is first needed, and ends when it has
not been used for a while.
"""

import asyncio
import threading

import paramiko

from remote_slurm.errors import Code, NotSent, PortUnreachable
from remote_slurm.ssh.channel_stream import ChannelStream
from remote_slurm.ssh.connect import WINDOW, Transport
from remote_slurm.ssh.connection import Connection
from remote_slurm.ssh.framing import frame
from remote_slurm.ssh.idle_timer import IDLE_SECONDS, IdleTimer
from remote_slurm.ssh.receive_window import FIRST_WINDOW, ReceiveWindow, WindowBudget
from remote_slurm.ssh.remote_shell import Shell
from remote_slurm.ssh.threads import detach, in_thread
from remote_slurm.ssh.transport import ParamikoTransport
from remote_slurm.ssh.writer_thread import WriterThread

# For the login node to reach the port; a firewall that drops packets answers nothing
OPEN_SECONDS = 15.0
# For the login node to start a shell
_ATTACH_SECONDS = 30.0
# How long a channel that nothing waits for any more may still be opened: it is closed then. Linux gives up a TCP
# connection after 127 s
_LATE_SECONDS = 180.0
# Channels to one node that are being opened at once, each in a thread. A node that drops packets delays no other
_OPENING_TO_NODE = 16
# RFC 4254, 5.1
_PROHIBITED, _UNKNOWN_TYPE = 1, 3
_PACKET = 64 * 1024


class PortChannels:
    """Opens channels from the login node to ports that the login node can reach. Lives in one event loop."""

    def __init__(
        self, connection: Connection, *, idle_seconds: float = IDLE_SECONDS, open_seconds: float = OPEN_SECONDS
    ) -> None:
        self._connection = connection
        self._open_seconds = open_seconds
        self._link: Transport | None = None
        self._writer: WriterThread | None = None
        self._budget = WindowBudget()
        self._streams: set[ChannelStream] = set()
        self._places: dict[str, asyncio.Semaphore] = {}
        self._idle = IdleTimer(connection, idle_seconds, lambda: bool(self._streams))

    async def open(self, host: str, port: int) -> ChannelStream:
        """Connect to the port. Raises PortUnreachable, or what `Connection.link` raises."""
        with self._idle.used():
            channel, writer = await self._opened(host, port)
            name = f"port {port} of {host}"
            stream = ChannelStream(channel, name, writer, ReceiveWindow(self._budget), self._ended)
            self._streams.add(stream)
            return stream

    async def attach(self, script: str) -> ChannelStream:
        """Run `script` in a POSIX shell at the site; the stream is its standard input and output.

        What it prints follows the noise of login scripts. If the stream is closed, the input of the script ends; a
        script that goes on is killed. Raises NotSent, or what `Connection.link` raises.
        """
        with self._idle.used():
            link, writer = await self._current_link()
            shell = Shell(link)
            try:
                async with asyncio.timeout(_ATTACH_SECONDS):
                    channel = await in_thread("ssh-attach", _started, shell, script)
            except TimeoutError:
                detach("ssh-close", shell.close)
                raise NotSent(f"{link.host} started no shell within {_ATTACH_SECONDS:g} s") from None
            except BaseException:
                detach("ssh-close", shell.close)
                raise
            stream = ChannelStream(channel, link.host, writer, ReceiveWindow(self._budget, WINDOW), self._ended)
            self._streams.add(stream)
            return stream

    async def close(self) -> None:
        """End all streams and the connection."""
        for stream in list(self._streams):
            stream.close()
        self._idle.stop()
        await self._connection.close()
        if self._writer:
            self._writer.stop()

    async def _opened(self, host: str, port: int) -> tuple[paramiko.Channel, WriterThread]:
        """The channel, and what writes to its connection: a new one, if the one at hand turned out to be dead."""
        link, writer = await self._current_link()
        try:
            return await self._open_on(link, host, port), writer
        except PortUnreachable:
            raise
        except NotSent:
            if link.alive:
                raise
            link, writer = await self._current_link()
            return await self._open_on(link, host, port), writer

    async def _open_on(self, link: Transport, host: str, port: int) -> paramiko.Channel:
        opening = _Opening(link, host, port)
        try:
            async with asyncio.timeout(self._open_seconds):
                places = self._places.setdefault(host, asyncio.Semaphore(_OPENING_TO_NODE))
                await places.acquire()
                thread = asyncio.ensure_future(in_thread("ssh-port", opening.run))
                thread.add_done_callback(lambda done: _leave(places, done))
                return await asyncio.shield(thread)
        except TimeoutError:
            opening.abandon()
            raise PortUnreachable(
                f"{host} port {port} did not answer {link.host} within {self._open_seconds:g} s", code=Code.NO_ANSWER
            ) from None
        except BaseException:
            opening.abandon()
            raise

    async def _current_link(self) -> tuple[Transport, WriterThread]:
        link = await self._connection.link()
        if self._writer is None or link is not self._link:
            if self._writer:
                self._writer.stop()
            self._link, self._writer = link, WriterThread("ssh-ports")
        return link, self._writer

    def _ended(self, stream: ChannelStream) -> None:
        self._streams.discard(stream)
        self._idle.rest()


def _started(shell: Shell, script: str) -> paramiko.Channel:
    shell.open()
    shell.send(frame(script, kind="attach"))
    return shell.channel


def _leave(places: asyncio.Semaphore, done: asyncio.Future[paramiko.Channel]) -> None:
    places.release()
    if not done.cancelled():
        done.exception()  # mark it as read: the caller may have gone


class _Opening:
    """One attempt to open a channel, in a thread. A channel that comes too late is closed."""

    def __init__(self, link: Transport, host: str, port: int) -> None:
        self._link = link
        self._host = host
        self._port = port
        self._lock = threading.Lock()
        self._channel: paramiko.Channel | None = None
        self._abandoned = False

    def run(self) -> paramiko.Channel:
        """Raises PortUnreachable, or NotSent if the connection is dead."""
        transport = self._link.transport
        try:
            channel = transport.open_channel(
                "direct-tcpip",
                (self._host, self._port),
                ("127.0.0.1", 0),
                window_size=FIRST_WINDOW,
                max_packet_size=_PACKET,
                timeout=_LATE_SECONDS,
            )
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._failure(transport, error) from error
        with self._lock:
            self._channel = channel
            if not self._abandoned:
                return channel
        channel.close()
        raise PortUnreachable(f"{self._host} port {self._port} answered too late", code=Code.NO_ANSWER)

    def abandon(self) -> None:
        """Nothing waits for the channel any more. Never waits."""
        with self._lock:
            self._abandoned = True
            channel = self._channel
        if channel is not None:
            detach("ssh-close", channel.close)

    def _failure(self, transport: paramiko.Transport, error: Exception) -> NotSent:
        refused = transport.why_refused() if isinstance(transport, ParamikoTransport) else None
        if refused is None and not self._link.alive:
            return NotSent(f"the connection to {self._link.host} was lost: {error or type(error).__name__}")
        where = f"{self._host} port {self._port}"
        if refused is None:
            return PortUnreachable(f"{where} did not answer {self._link.host}", code=Code.NO_ANSWER)
        reason, words = refused
        if reason in (_PROHIBITED, _UNKNOWN_TYPE):
            return PortUnreachable(
                f"{self._link.host} forwards no connections to {where} for this account ({words or 'prohibited'})",
                code=Code.FORWARDING_PROHIBITED,
                remedy="sshd there has AllowTcpForwarding no, PermitOpen or DisableForwarding, or authorized_keys has "
                "restrict or no-port-forwarding",
            )
        return PortUnreachable(f"{self._link.host} cannot connect to {where}: {words}", code=Code.CONNECT_FAILED)
