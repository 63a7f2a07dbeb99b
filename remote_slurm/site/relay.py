"""Connections to ports of a node over one step of a job: the sidecar's half of job/relay.pl.

Both sides send frames of a letter, the number of a connection, and a number N (`!cII`)::

    to the node     O connect to port N     P are you there                        L listen on a free port
    from the node   A connected             R refused: N bytes of words follow     P yes     L listening on port N
    both            D N bytes follow        E my last byte was sent                C closed, in both directions
                    W you may send N bytes more

Before them comes a line that nothing else at the site can have printed, with the name of the relay's program. Each side
may have sent FIRST_WINDOW (to the sidecar) or ROOM (to the node) bytes of a connection beyond what the other has
allowed again.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections import deque
from collections.abc import Callable

from remote_slurm.errors import Code, NotSent, OutcomeUnknown, PortUnreachable, SiteError
from remote_slurm.site.site import PortStream
from remote_slurm.ssh.receive_window import FIRST_WINDOW, ReceiveWindow, WindowBudget

# The relay ends itself when it has heard nothing for so long: then this side is gone, or the network is
QUIET_SECONDS = 60
_PING_SECONDS = 15.0
_OPEN_SECONDS = 15.0
_ROOM = 1024 * 1024
_CHUNK = 32 * 1024
_READ = 64 * 1024
_HEADER = struct.Struct("!cII")
_HAVE_BYTES = (b"D", b"R")
_MOST_NOISE = 64 * 1024
_WITHOUT_END = "the relay ended"


class RelayEnded(NotSent):
    """The relay did not start, or has ended before it was asked. `words` is what was printed instead."""

    def __init__(self, words: str) -> None:
        self.words = words
        super().__init__(words or _WITHOUT_END)


class OneConnection(Exception):
    """The node has only a `program` that serves a single connection."""

    def __init__(self, program: str) -> None:
        self.program = program
        super().__init__(program)


class Relay:
    """A relay on a node, which connects to ports there. Lives in one event loop."""

    def __init__(self, stream: PortStream, node: str, budget: WindowBudget) -> None:
        """`on_idle` is called whenever the last of its connections has ended, and when the relay has."""
        self.node = node
        self.program = ""
        self.on_idle: Callable[[], None] = lambda: None
        self._stream = stream
        self._budget = budget
        self._connections: dict[int, RelayedStream] = {}
        self._last = 0
        self._port: asyncio.Future[int] | None = None
        self._queue: deque[tuple[bytes, asyncio.Future[None] | None]] = deque()
        self._queued = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.ended = False

    @property
    def connections(self) -> int:
        """How many connections it has, or is about to have."""
        return len(self._connections)

    async def start(self, hello: str) -> None:
        """Wait for the line `hello`.

        Raises OneConnection if the node has no program that carries many, RelayEnded if the script ends without the
        line, and OutcomeUnknown.
        """
        line, seen = re.compile(rb"%b (many|one) ([a-z0-9-]+)\n" % hello.encode()), b""
        while not (found := line.search(seen)):
            data = await self._stream.read()
            if not data:
                raise RelayEnded(seen.decode(errors="replace"))
            seen = (seen + data)[-_MOST_NOISE:]
        self.program = found[2].decode()
        if found[1] == b"one":
            raise OneConnection(self.program)
        work = (self._receive(seen[found.end() :]), self._send_queued(), self._ping())
        self._tasks = [asyncio.ensure_future(self._until_lost(each)) for each in work]

    async def open(self, port: int) -> PortStream:
        """Connect to the port on the node. Raises PortUnreachable, and RelayEnded."""
        if self.ended:
            raise RelayEnded("")
        self._last += 1
        stream = RelayedStream(self, self._last, f"port {port} of {self.node}", ReceiveWindow(self._budget))
        self._connections[self._last] = stream
        self.post(b"O", self._last, port)
        self.post(b"W", self._last, FIRST_WINDOW)
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                refused = await stream.answer
        except TimeoutError:
            stream.close()
            raise PortUnreachable(f"{self.node} port {port} did not answer", code=Code.NO_ANSWER) from None
        except BaseException:
            stream.close()
            raise
        if refused is not None:
            raise PortUnreachable(f"nothing listens on port {port} of {self.node}: {refused}", code=Code.CONNECT_FAILED)
        return stream

    async def listen(self) -> int:
        """A port that the relay listens on as long as it lasts; connections to it are not served. Raises RelayEnded."""
        if self.ended:
            raise RelayEnded("")
        if self._port is None:
            self._port = asyncio.get_running_loop().create_future()
            self.post(b"L", 0)
        return await asyncio.shield(self._port)

    def close(self) -> None:
        """End it and all its connections. Never waits."""
        self._lost()
        for task in self._tasks:
            task.cancel()

    # --- frames ---

    def post(self, kind: bytes, connection: int, number: int = 0) -> None:
        """Send a frame without bytes. Never waits."""
        self._queue.append((_HEADER.pack(kind, connection, number), None))
        self._queued.set()

    async def send(self, connection: int, data: bytes) -> None:
        """Send bytes, and wait until they are on their way. Raises OutcomeUnknown."""
        if self.ended:
            raise OutcomeUnknown(f"the connection to {self.node} was lost")
        gone = asyncio.get_running_loop().create_future()
        self._queue.append((_HEADER.pack(b"D", connection, len(data)) + data, gone))
        self._queued.set()
        await gone

    def forget(self, connection: int) -> None:
        """The connection is closed at this side."""
        if self._connections.pop(connection, None) and not self._connections:
            self.on_idle()

    async def _send_queued(self) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                frames, self._queue = self._queue, deque()
                try:
                    await self._stream.write(b"".join(frame for frame, _ in frames))
                finally:
                    for _, gone in frames:
                        if gone and not gone.done():
                            gone.set_result(None)

    async def _receive(self, first: bytes) -> None:
        received = bytearray(first)
        while True:
            self._take_frames(received)
            data = await self._stream.read()
            if not data:
                return
            received += data

    def _take_frames(self, received: bytearray) -> None:
        start = 0
        while len(received) - start >= _HEADER.size:
            kind, connection, number = _HEADER.unpack_from(received, start)
            end = start + _HEADER.size + (number if kind in _HAVE_BYTES else 0)
            if len(received) < end:
                break
            if kind == b"L" and self._port and not self._port.done():
                self._port.set_result(number)
            if stream := self._connections.get(connection):
                stream.take(kind, number, bytes(received[start + _HEADER.size : end]))
            start = end
        del received[:start]

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(_PING_SECONDS)
            self.post(b"P", 0)

    async def _until_lost(self, work: asyncio.Future[None] | object) -> None:
        with contextlib.suppress(SiteError):
            await work  # type: ignore[misc]
        self.close()

    def _lost(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._stream.close()
        for _, gone in self._queue:
            if gone and not gone.done():
                gone.set_result(None)
        if self._port and not self._port.done():
            self._port.set_exception(RelayEnded(""))
        for stream in list(self._connections.values()):
            stream.lost()
        self.on_idle()


class RelayedStream(PortStream):
    """A connection through a relay. `read` and `write` may each be waiting once at a time."""

    def __init__(self, relay: Relay, number: int, name: str, window: ReceiveWindow) -> None:
        """`name` is for messages: `port 8888 of n1`."""
        self._relay = relay
        self._number = number
        self._name = name
        self._window = window
        self.answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._held: deque[bytes] = deque()
        self._room = _ROOM
        self._changed = asyncio.Event()  # something to read, or the end of it
        self._writable = asyncio.Event()
        self._closed_there = asyncio.Event()
        self._ended = self._lost = self._closed = False

    async def read(self) -> bytes:
        self._allow(self._window.credit())
        while True:
            self._changed.clear()
            if self._held:
                return self._next()
            if self._ended:
                return b""
            if self._lost or self._closed:
                raise OutcomeUnknown(f"the connection to {self._name} was lost")
            self._allow(self._window.grown())
            await self._changed.wait()

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._writable.clear()
            if self._closed_there.is_set() or self._lost or self._closed:
                raise OutcomeUnknown(f"the connection to {self._name} was closed by the other side")
            if not self._room:
                await self._writable.wait()
                continue
            size = min(self._room, _CHUNK, len(view))
            self._room -= size
            await self._relay.send(self._number, bytes(view[:size]))
            view = view[size:]

    async def write_eof(self) -> None:
        if not self._closed:
            self._relay.post(b"E", self._number)

    async def wait_closed(self) -> None:
        await self._closed_there.wait()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._window.close()
        if not self._closed_there.is_set():
            self._relay.post(b"C", self._number)
        self._wake()
        self._relay.forget(self._number)

    def take(self, kind: bytes, number: int, data: bytes) -> None:
        """A frame of the connection has come."""
        if kind == b"D":
            self._held.append(data)
        elif kind == b"E":
            self._ended = True
        elif kind == b"W":
            self._room += number
            self._writable.set()
            return
        elif kind == b"A":
            self._answered(None)
        elif kind == b"R":
            self._answered(data.decode(errors="replace"))
            self._closed_there.set()
            self.close()
        elif kind == b"C":
            self._closed_there.set()
            self.lost()
        self._changed.set()

    def lost(self) -> None:
        """Nothing more comes. An end that has come before remains one."""
        self._lost = True
        if not self.answer.done():
            self.answer.set_exception(RelayEnded(""))
        self._wake()

    def _next(self) -> bytes:
        parts, size = [self._held.popleft()], 0
        size = len(parts[0])
        while self._held and size + len(self._held[0]) <= _READ:
            parts.append(self._held.popleft())
            size += len(parts[-1])
        self._window.took(size)
        return b"".join(parts)

    def _answered(self, refused: str | None) -> None:
        if not self.answer.done():
            self.answer.set_result(refused)

    def _allow(self, credit: int) -> None:
        if credit and not (self._closed or self._ended or self._lost):
            self._relay.post(b"W", self._number, credit)

    def _wake(self) -> None:
        self._changed.set()
        self._writable.set()
