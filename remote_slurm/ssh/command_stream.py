"""A channel that runs a command: its standard input, output and error, and its terminal."""

import asyncio
from collections.abc import Callable

import paramiko
from paramiko.buffered_pipe import PipeTimeout

from remote_slurm.errors import OutcomeUnknown
from remote_slurm.ssh.channel_stream import ChannelStream, _Signal
from remote_slurm.ssh.receive_window import ReceiveWindow
from remote_slurm.ssh.writer_thread import WriterThread

_READ = 64 * 1024


class CommandStream(ChannelStream):
    """A `ChannelStream` that also has standard error. Both outputs together may be as large as the window."""

    def __init__(
        self,
        channel: paramiko.Channel,
        name: str,
        writer: WriterThread,
        window: ReceiveWindow,
        on_close: Callable[[ChannelStream], None],
    ) -> None:
        super().__init__(channel, name, writer, window, on_close)
        self._error_readable = asyncio.Event()
        channel.in_stderr_buffer.set_event(_Signal(self._hook(self._error_readable)))

    async def read_error(self) -> bytes:
        """The next bytes of standard error; empty after the last. Raises OutcomeUnknown if the connection is lost."""
        self._grant(self._window.credit())
        while True:
            self._error_readable.clear()
            try:
                data: bytes = self._channel.in_stderr_buffer.read(_READ, 0.0)
            except PipeTimeout:
                await self._error_readable.wait()
                continue
            if not data and not self._channel.eof_received:
                raise OutcomeUnknown(f"the connection to {self._name} was lost")
            self._window.took(len(data))
            return data

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal. Never waits."""
        self._writer.post(self._channel.resize_pty, columns, rows)
