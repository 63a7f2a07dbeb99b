"""A channel as a stream of bytes in both directions, for the event loop: no thread of its own, and bounded memory.

Paramiko has one thread per connection that reads, and tells a channel's buffer of what arrives. The hooks here pass
that on to the event loop. What has to be sent goes through the connection's `WriterThread`.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

import paramiko
from paramiko.buffered_pipe import PipeTimeout
from paramiko.common import cMSG_CHANNEL_WINDOW_ADJUST
from paramiko.message import Message

from remote_slurm.errors import OutcomeUnknown
from remote_slurm.ssh.writer_thread import WriterThread

# What the site may send before anything is taken of it: a client that reads nothing holds no more
FIRST_WINDOW = 128 * 1024
# A window per round trip is all that a channel can transfer, so that it grows for a client that keeps up
_LARGEST_WINDOW = 4 * 1024 * 1024
# For all channels of a connection together, beyond their first windows
_GROWTH_BUDGET = 32 * 1024 * 1024
_GROWS_WITHIN_SECONDS = 1.0
_READ = 64 * 1024
# The data of one packet; OpenSSH accepts 32 KiB
_CHUNK = 32 * 1024


class WindowBudget:
    """How much further the windows of a connection's channels may grow."""

    def __init__(self, size: int = _GROWTH_BUDGET) -> None:
        self._left = size

    def take(self, size: int) -> bool:
        """Whether there is so much left; it is taken then."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        self._left += size


class ChannelStream:
    """An open channel. `read` and `write` raise OutcomeUnknown if it is lost; each may be waiting once at a time.

    `wait_closed` is for after the last byte was read.
    """

    def __init__(
        self,
        channel: paramiko.Channel,
        writer: WriterThread,
        budget: WindowBudget,
        on_close: Callable[["ChannelStream"], None],
    ) -> None:
        """The channel was opened with FIRST_WINDOW."""
        self._channel = channel
        self._writer = writer
        self._budget = budget
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._readable, self._writable = asyncio.Event(), asyncio.Event()
        self._window = FIRST_WINDOW
        self._taken = 0  # bytes that the site may send again, and does not know of yet
        self._round, self._round_began = 0, time.monotonic()
        self._closed = False
        channel.settimeout(0.0)
        channel.out_buffer_cv = _Condition(channel.lock, self._hook(self._writable))
        channel.in_buffer.set_event(_Signal(self._hook(self._readable)))

    async def read(self) -> bytes:
        """The next bytes; empty once the site has sent its last. The bytes before count as taken by the client."""
        self._allow_more()
        while True:
            self._readable.clear()
            try:
                data: bytes = self._channel.in_buffer.read(_READ, 0.0)
            except PipeTimeout:
                self._grow_if_limited()
                await self._readable.wait()
                continue
            if not data and not self._channel.eof_received:
                raise OutcomeUnknown("the connection to the port was lost")
            self._taken += len(data)
            self._round += len(data)
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
        self._budget.give_back(self._window - FIRST_WINDOW)
        self._writer.post(self._channel.close)
        self._on_close(self)

    async def _send(self, chunk: bytes) -> int:
        try:
            size: int = await self._writer.call(self._channel.send, chunk)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise OutcomeUnknown("the connection to the port was closed by the other side") from error
        if not size:
            raise OutcomeUnknown("the connection to the port was closed by the other side")
        return size

    def _allow_more(self, extra: int = 0) -> None:
        """Let the site send as much again as was taken, in steps that are worth a packet."""
        if self._channel.closed or self._channel.eof_received or self._taken + extra < self._window // 8:
            return
        message = Message()
        message.add_byte(cMSG_CHANNEL_WINDOW_ADJUST)
        message.add_int(self._channel.remote_chanid)
        message.add_int(self._taken + extra)
        self._taken = 0
        # `recv` of the channel would send it at once, and may block
        self._writer.post(self._channel.transport._send_user_message, message)  # type: ignore[union-attr]  # noqa: SLF001

    def _grow_if_limited(self) -> None:
        """Double the window where the client waits for the site, and took a whole window within a second."""
        if self._round < self._window or self._closed:
            return
        now = time.monotonic()
        quick = now - self._round_began < _GROWS_WITHIN_SECONDS
        self._round, self._round_began = 0, now
        if quick and self._window < _LARGEST_WINDOW and self._budget.take(self._window):
            self._window *= 2
            self._allow_more(self._window // 2)

    def _hook(self, event: asyncio.Event) -> Callable[[], None]:
        """For other threads to call."""

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(event.set)

        return tell


class _Signal(threading.Event):
    """A BufferedPipe sets it when there is something to read, or nothing more comes."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def set(self) -> None:
        self._tell()


class _Condition(threading.Condition):
    """A channel notifies it when the other side allows more to be sent, and when it is closed."""

    def __init__(self, lock: threading.Lock, tell: Callable[[], None]) -> None:
        super().__init__(lock)
        self._tell = tell

    def notify_all(self) -> None:
        super().notify_all()
        self._tell()
