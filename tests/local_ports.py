"""Programs that listen on ports of this machine, as those of pods do on their nodes."""

import asyncio
import contextlib
import hashlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(handle: Handler, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server on a free port of this machine; its connections end with the context."""
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await handle(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not server.is_serving():  # it was accepted while the context ended
            writer.transport.abort()
            return
        writers.append(writer)
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:  # one that is closed may still have something to send
            if writer.transport.get_write_buffer_size() or not writer.transport.is_closing():
                writer.transport.abort()
        await asyncio.sleep(0)  # asyncio closes their sockets in its next turn


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers as it reads, and ends when the client has ended."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def digest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers once the client has sent its last byte."""
    found = hashlib.sha256()
    while data := await reader.read(65536):
        found.update(data)
    writer.write(found.hexdigest().encode())


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Says nothing, and ends when the client has ended."""
    await reader.read()


async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Neither reads nor says anything."""
    await asyncio.sleep(600)


async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends without an end."""
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


class Readable(Protocol):
    async def read(self) -> bytes: ...


async def rest(stream: Readable) -> bytes:
    """All that comes until the end."""
    parts = []
    while data := await stream.read():
        parts.append(data)
    return b"".join(parts)


def received(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or all that come until the end."""
    data = b""
    while len(data) < size and (part := connection.recv(size - len(data))):
        data += part
    return data


def echoed(connection: socket.socket, data: bytes) -> bytes:
    """What comes back until the end, after all of it was sent and ended."""

    def send() -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    sending = threading.Thread(target=send)
    sending.start()
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    sending.join()
    return b"".join(parts)
