"""A channel as a stream of bytes in both directions, for the event loop: no thread of its own, and bounded memory.

Paramiko has one thread per connection that reads, and writes what arrives into a channel's buffer. The hooks here
notify the event loop. What has to be sent goes through the connection's `WriterThread`.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import paramiko
from paramiko.buffered_pipe import PipeTimeout
from paramiko.common import cMSG_CHANNEL_WINDOW_ADJUST
from paramiko.message import Message

from remote_slurm.errors import OutcomeUnknown
from remote_slurm.ssh.receive_window import ReceiveWindow
from remote_slurm.ssh.writer_thread import WriterThread

_READ = 64 * 1024
# The data of one packet; OpenSSH accepts 32 KiB
_CHUNK = 32 * 1024


class ChannelStream:
    """An open channel. `read` and `write` raise OutcomeUnknown if it is lost; each may be waiting once at a time.

    `wait_closed` is for after the last byte was read.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        name: str,
        writer: WriterThread,
        window: ReceiveWindow,
        on_close: Callable[["ChannelStream"], None],
    ) -> None:
        """The channel was opened with the size of `window`. `name` is for messages: `port 8888 of n1`."""
        self._channel = channel
        self._name = name
        self._writer = writer
        self._window = window
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._readable, self._writable = asyncio.Event(), asyncio.Event()
        self._closed = False
        channel.settimeout(0.0)
        channel.out_buffer_cv = _Condition(channel.lock, self._hook(self._writable))
        channel.in_buffer.set_event(_Signal(self._hook(self._readable)))

    async def read(self) -> bytes:
        """The next bytes; empty once the site has sent its last. The bytes before count as taken by the client."""
        await asyncio.sleep(0)  # a site that sends faster than the client takes would leave the loop no time for others
        self._grant(self._window.credit())
        while True:
            self._readable.clear()
            try:
                data: bytes = self._channel.in_buffer.read(_READ, 0.0)
            except PipeTimeout:
                self._grant(self._window.grown())
                await self._readable.wait()
                continue
            if not data and not self._channel.eof_received:
                raise OutcomeUnknown(f"the connection to {self._name} was lost")
            self._window.took(len(data))
            return data

    async def write(self, data: bytes) -> None:
        """Send all of it; waits while the other side takes nothing."""
        view = memoryview(data)
        while view:
            self._writable.clear()
            if not self._channel.send_ready():
                await self._writable.wait()
                continue
            view = view[await self._send(bytes(view[:_CHUNK])) :]

    async def write_eof(self) -> None:
        """Tell the other side that nothing more comes; it may still send."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            await self._writer.call(self._channel.shutdown_write)

    async def wait_closed(self) -> None:
        """Return once the other side has closed both directions."""
        while not self._channel.closed:
            self._readable.clear()
            if not self._channel.closed:
                await self._readable.wait()

    def close(self) -> None:
        """End both directions. Never waits."""
        if self._closed:
            return
        self._closed = True
        self._window.close()
        self._writer.post(self._channel.close)
        self._on_close(self)

    async def _send(self, chunk: bytes) -> int:
        try:
            size: int = await self._writer.call(self._channel.send, chunk)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise OutcomeUnknown(f"the connection to {self._name} was closed by the other side") from error
        if not size:
            raise OutcomeUnknown(f"the connection to {self._name} was closed by the other side")
        return size

    def _grant(self, credit: int) -> None:
        """Let the site send so many bytes more."""
        if not credit or self._channel.closed or self._channel.eof_received:
            return
        message = Message()
        message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
        message.add_int(self._channel.remote_chanid)
        message.add_int(credit)
        # `recv` of the channel would send it at once, and may block
        self._writer.post(self._channel.transport._send_user_message, message)  # type: ignore[union-attr]  # noqa: SLF001

    def _hook(self, event: asyncio.Event) -> Callable[[], None]:
        """For other threads to call."""

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(event.set)

        return notify


class _Signal(threading.Event):
    """A BufferedPipe sets it when there is something to read, or nothing more comes."""

    def __init__(self, notify: Callable[[], None]) -> None:
        super().__init__()
        self._notify = notify

    def set(self) -> None:
        self._notify()


class _Condition(threading.Condition):
    """A channel notifies it when the other side allows more to be sent, and when it is closed."""

    def __init__(self, lock: threading.Lock, notify: Callable[[], None]) -> None:
        super().__init__(lock)
        self._notify = notify

    def notify_all(self) -> None:
        super().notify_all()
        self._notify()
