"""A TCP proxy that does to a connection what networks do: delay it, cut it anywhere, freeze it, refuse it.

It lives in a thread of its own, so that blocking and asyncio tests can use it alike; every method may be called from
any thread. Bytes go `"up"` from the client to the server, and `"down"` back.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

Direction = Literal["up", "down"]
_READ = 64 * 1024
_HELD = 2
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class FaultProxy:
    """Listens on `port` of 127.0.0.1 and forwards to the target, with the faults that are asked for."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self.connections = 0
        self.forwarded: dict[Direction, int] = {"up": 0, "down": 0}
        self.round_trips = 0
        self._target = (target_host, target_port)
        self._half_delay = 0.0
        self._rate = 0.0  # bytes a second; 0 is no limit
        self._budget: dict[Direction, int | None] = {"up": None, "down": None}
        self._then: Literal["cut", "freeze"] = "cut"
        self._last: Direction = "down"
        self._pipes: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()
        self.port = 0
        self.listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._pipes)

    def listen(self) -> None:
        """Accept connections (again, after `refuse`), on the same port as ever."""
        self._do(self._listen)

    def refuse(self) -> None:
        """Refuse new connections; existing ones go on."""
        self._do(self._stop_listening)

    def freeze(self) -> None:
        """Take what is sent and deliver nothing, neither bytes nor a reset, on old connections and new ones."""
        self._do(self._flowing.clear)

    def thaw(self) -> None:
        """Deliver what was held back, and everything after it."""
        self._do(self._flowing.set)

    def delay(self, round_trip: float) -> None:
        """Add that many seconds to a round trip, half in each direction."""
        self._half_delay = round_trip / 2

    def slow_down(self, rate: float) -> None:
        """Deliver no more than `rate` bytes a second to the client; 0 is no limit."""
        self._rate = rate

    def cut(self) -> None:
        """Reset every connection now, and forget `cut_after` and `freeze_after`."""
        self._budget["up"] = self._budget["down"] = None
        self._do(self._cut)

    def cut_after(self, size: int, direction: Direction) -> None:
        """Once, reset the connection that delivers the last of `size` more bytes in that direction."""
        self._then = "cut"
        self._budget[direction] = size

    def freeze_after(self, size: int, direction: Direction) -> None:
        """Freeze once `size` more bytes have been delivered in that direction, once."""
        self._then = "freeze"
        self._budget[direction] = size

    def close(self) -> None:
        """End everything."""
        if self._thread.is_alive():
            self._do(self._stop_listening)
            self._do(self._cut)
            self._do(self._finish)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _do(self, action: "Callable[[], object]") -> None:
        async def run() -> None:
            outcome = action()
            if asyncio.iscoroutine(outcome):
                await outcome

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(120)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    def _stop_listening(self) -> None:
        if self._server:
            self._server.close()
            self._server = None

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _cut(self) -> None:
        for pipe in tuple(self._pipes):
            pipe.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        client = _End(reader, writer)
        pipe = _Connection([client])
        self._pipes.add(pipe)
        try:
            server = _End(*await asyncio.open_connection(*self._target))
            pipe.ends.append(server)
            await asyncio.gather(self._pump("up", client, server, pipe), self._pump("down", server, client, pipe))
        except (OSError, asyncio.CancelledError):
            pass  # cancelled is only by close(), and asyncio's streams would log it
        finally:
            pipe.reset()
            self._pipes.discard(pipe)

    async def _pump(self, direction: Direction, source: "_End", sink: "_End", pipe: "_Connection") -> None:
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        reading = asyncio.create_task(self._read(source, held))
        try:
            while True:
                due, data = await held.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._flowing.wait()
                if not data:
                    sink.writer.write_eof()
                    return
                await self._deliver(direction, data, sink, pipe)
        except OSError:
            pipe.reset()
        finally:
            reading.cancel()

    async def _read(self, source: "_End", held: "asyncio.Queue[tuple[float, bytes]]") -> None:
        data = b"."
        while data:
            try:
                data = await source.reader.read(_READ)
            except OSError:
                data = b""
            while self._rate and held.qsize() > _HELD:  # noqa: ASYNC110 - a slow line holds its sender up
                await asyncio.sleep(0.01)
            held.put_nowait((time.monotonic() + self._half_delay, data))

    async def _deliver(self, direction: Direction, data: bytes, sink: "_End", pipe: "_Connection") -> None:
        if direction == "up" and self._last == "down":
            self.round_trips += 1
        self._last = direction
        if self._rate and direction == "down":
            await asyncio.sleep(len(data) / self._rate)
        budget = self._budget[direction]
        if budget is not None and budget <= len(data):
            self._budget[direction] = None
            await self._write(direction, data[:budget], sink)
            if self._then == "freeze":
                self._flowing.clear()
            else:
                # A reset throws away what has arrived and is not read yet at the other end.
                await asyncio.sleep(0.02)
                pipe.reset()
            data = data[budget:]
            await self._flowing.wait()
        elif budget is not None:
            self._budget[direction] = budget - len(data)
        await self._write(direction, data, sink)

    async def _write(self, direction: Direction, data: bytes, sink: "_End") -> None:
        self.forwarded[direction] += len(data)
        sink.writer.write(data)
        await sink.writer.drain()


class _End:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass(eq=False)
class _Connection:
    ends: list[_End] = field(default_factory=list)

    def reset(self) -> None:
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.writer.transport.abort()
