"""The proxy behind `scripts/site up --rtt`: late, in order, and not slow."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator

from tests.scripts.site_command import SITE

PROXY = SITE.parent / "site.d" / "delay-proxy.py"
FREE_PORTS = SITE.parent / "site.d" / "free-ports.py"
RTT = 0.1


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes, and ends when the other side ends."""
    while chunk := await reader.read(65536):
        writer.write(chunk)
        await writer.drain()
    writer.close()


def free_port() -> int:
    return int(subprocess.check_output([sys.executable, FREE_PORTS, "1"]))


@contextlib.asynccontextmanager
async def far_away_echo() -> AsyncIterator[int]:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()[1]
        port = await asyncio.to_thread(free_port)
        settings = [str(port), str(target), str(int(RTT * 1000))]
        proxy = await asyncio.create_subprocess_exec(sys.executable, PROXY, *settings)
        try:
            yield port
        finally:
            proxy.kill()
            await proxy.wait()


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(100):
        with contextlib.suppress(ConnectionRefusedError):
            return await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.05)
    raise TimeoutError


async def test_an_answer_takes_one_round_trip_after_another_for_the_connection() -> None:
    async with far_away_echo() as port:
        reader, writer = await connect(port)
        times = []
        for _ in range(3):
            start = time.monotonic()
            writer.write(b"x")
            await reader.readexactly(1)
            times.append(time.monotonic() - start)
        writer.close()
    assert times[0] >= 2 * RTT
    assert all(again >= RTT for again in times[1:])


async def test_much_data_arrives_whole() -> None:
    sent = bytes(range(256)) * 4 * 20_000
    async with far_away_echo() as port:
        reader, writer = await connect(port)
        writer.write(sent)
        writer.write_eof()
        received = await reader.read(-1)
        writer.close()
    assert received == sent
