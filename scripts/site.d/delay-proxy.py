"""delay-proxy.py PORT TARGET RTT: puts RTT milliseconds between 127.0.0.1:PORT and 127.0.0.1:TARGET.

What a long line does: a connection is there one round trip after it was asked for, and each direction delivers what it
was given half a round trip later, in order, at whatever rate it came in.
"""

import asyncio
import contextlib
import socket
import sys

# What may be under way in one direction, in bytes: enough for 10 Gbit/s over 50 ms. Beyond it the sender has to wait.
WINDOW = 64 * 1024 * 1024
READ_SIZE = 256 * 1024


class Line:
    """One direction: chunks with the time at which they are due; an empty chunk is the end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
        self._reader, self._writer, self._delay = reader, writer, delay
        self._chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._under_way = 0
        self._delivered = asyncio.Event()

    async def take_in(self) -> None:
        chunk = b"-"
        while chunk:
            chunk = await self._reader.read(READ_SIZE)
            self._chunks.put_nowait((asyncio.get_running_loop().time() + self._delay, chunk))
            self._under_way += len(chunk)
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        while self._under_way > WINDOW:
            self._delivered.clear()
            await self._delivered.wait()

    async def deliver(self) -> None:
        while True:
            due, chunk = await self._chunks.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            if not chunk:
                break
            self._writer.write(chunk)
            await self._writer.drain()
            self._under_way -= len(chunk)
            self._delivered.set()
        self._writer.write_eof()


async def carry(*lines: Line) -> None:
    """Until both directions have ended, or one has failed."""
    async with asyncio.TaskGroup() as tasks:
        for line in lines:
            tasks.create_task(line.take_in())
            tasks.create_task(line.deliver())


def send_at_once(writer: asyncio.StreamWriter) -> None:
    """Nagle's algorithm would add a delay of its own to ours."""
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def relay(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter, target: int, rtt: float) -> None:
    """A connection that breaks on one side breaks on the other; that is no news to anybody here."""
    with contextlib.closing(near_writer), contextlib.suppress(OSError, ExceptionGroup):
        await asyncio.sleep(rtt)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        with contextlib.closing(far_writer):
            send_at_once(near_writer)
            send_at_once(far_writer)
            await carry(Line(near_reader, far_writer, rtt / 2), Line(far_reader, near_writer, rtt / 2))


async def main(port: int, target: int, rtt: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay(reader, writer, target, rtt)

    server = await asyncio.start_server(accept, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 1000))
