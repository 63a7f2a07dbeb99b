"""One connection to a port of a node over a step of its own: for nodes that have no program that carries many.

Once the client has sent its last byte, the connection ends within seconds: the session at the site ends with its input.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from remote_slurm.errors import OutcomeUnknown
from remote_slurm.site.site import PortStream
from remote_slurm.ssh.framing import Frame, FramedOutput


class NotConnected(Exception):
    """The step has ended, or the connection to the site, before it was connected. `words` is what it printed."""

    def __init__(self, words: str) -> None:
        self.words = words
        super().__init__(words)


class StepConnection(PortStream):
    """A connection, once `start` has returned. `read` and `write` may each be waiting once at a time."""

    def __init__(self, stream: PortStream, name: str, on_close: Callable[[], None]) -> None:
        """`name` is for messages: `port 8888 of n1`."""
        self._stream = stream
        self._name = name
        self._on_close = on_close
        self._output: FramedOutput | None = None
        self._held = b""
        self._ended = asyncio.Event()
        self._closed = False

    async def start(self, hello: str) -> None:
        """Wait until the step connects to the port. Raises NotConnected, and OutcomeUnknown."""
        output, seen = FramedOutput(Frame(hello, b"", 0)), b""
        while not output.begun:
            data = await self._stream.read()
            if not data:
                raise NotConnected(seen.decode(errors="replace"))
            seen += data
            self._held = output.feed(data)
        self._output = output

    async def read(self) -> bytes:
        assert self._output  # noqa: S101 - of start
        while not self._held:
            if self._output.exit_code is not None:
                self._ended.set()
                if self._output.exit_code:
                    raise self._lost()
                return b""
            data = await self._stream.read()
            if not data:
                self._ended.set()
                raise self._lost()
            self._held = self._output.feed(data)
        held, self._held = self._held, b""
        return held

    async def write(self, data: bytes) -> None:
        if self._ended.is_set():
            raise OutcomeUnknown(f"the connection to {self._name} was closed by the other side")
        await self._stream.write(data)

    def _lost(self) -> OutcomeUnknown:
        return OutcomeUnknown(f"the connection to {self._name} was lost")

    async def write_eof(self) -> None:
        await self._stream.write_eof()

    async def wait_closed(self) -> None:
        await self._ended.wait()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._ended.set()
            self._stream.close()
            self._on_close()
