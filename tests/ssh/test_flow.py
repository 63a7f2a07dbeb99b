"""What a session prints is read ahead by one thread: in order, no more than a little, and to the last piece."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from remote_slurm.errors import OutcomeUnknown
from remote_slurm.site.cooperative import unhurried
from remote_slurm.ssh.output_stream import AHEAD, OutputStream


class FakeShell:
    """Prints what the test puts into it; counts what was read."""

    def __init__(self) -> None:
        self.printed: queue.Queue[bytes | Exception] = queue.Queue()
        self.received = 0

    def receive(self) -> bytes:
        piece = self.printed.get()
        if isinstance(piece, Exception):
            raise piece
        self.received += len(piece)
        return piece

    def close(self) -> None:
        self.printed.put(OutcomeUnknown("the session ended"))


@pytest.fixture
def shell() -> FakeShell:
    return FakeShell()


@pytest.fixture
async def flow(shell: FakeShell) -> AsyncIterator[OutputStream]:
    flow = OutputStream(shell)
    yield flow
    flow.close()
    shell.close()


async def taken(flow: OutputStream, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(120):
        while len(data) < size:
            data += await flow.take()
    return data


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - it is a thread that changes it
            await asyncio.sleep(0.01)


async def test_pieces_come_in_their_order(flow: OutputStream, shell: FakeShell) -> None:
    for number in range(1000):
        shell.printed.put(b"%03d" % number)
    assert await taken(flow, 3000) == b"".join(b"%03d" % number for number in range(1000))


async def test_a_piece_that_comes_late_is_waited_for(flow: OutputStream, shell: FakeShell) -> None:
    taking = asyncio.create_task(taken(flow, 4))
    await asyncio.sleep(0.05)
    assert not taking.done()
    shell.printed.put(b"late")
    assert await taking == b"late"


async def test_no_more_is_read_ahead_than_has_room(flow: OutputStream, shell: FakeShell) -> None:
    for _ in range(40):
        shell.printed.put(bytes(AHEAD // 10))
    await until(lambda: shell.received >= AHEAD)
    await asyncio.sleep(0.1)
    assert shell.received <= AHEAD + 2 * (AHEAD // 10)
    assert len(await taken(flow, 4 * (AHEAD // 10) * 10)) == 40 * (AHEAD // 10)


async def test_the_end_is_reported_after_the_last_piece(flow: OutputStream, shell: FakeShell) -> None:
    shell.printed.put(b"the last words")
    shell.printed.put(OutcomeUnknown("the connection is gone"))
    assert await taken(flow, 14) == b"the last words"
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="the connection is gone"):
            await taken(flow, 1)


async def test_nothing_is_left_of_it_once_it_and_its_shell_are_closed(shell: FakeShell) -> None:
    before = threading.active_count()
    flow = OutputStream(shell)
    for _ in range(40):
        shell.printed.put(bytes(AHEAD // 10))
    await asyncio.sleep(0.05)
    flow.close()
    shell.close()
    await until(lambda: threading.active_count() <= before)


async def test_long_work_lets_others_come_first() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    assert [item async for item in unhurried(range(10_000))] == list(range(10_000))
    task.cancel()
    assert turns >= 40
