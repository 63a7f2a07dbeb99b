"""What a session prints, read ahead by one thread for as long as it is followed."""

import asyncio
import contextlib
import threading
from typing import Protocol

# Read ahead; more stays in the session's window, and then at the site
AHEAD = 1024 * 1024


class Source(Protocol):
    """What is read, such as a `Shell`. The call blocks."""

    def receive(self) -> bytes: ...


class OutputStream:
    """Reads a shell's output until the shell is closed; `take` in the event loop that made it.

    A thread for each piece would cost more than the piece.
    """

    def __init__(self, shell: Source) -> None:
        self._shell = shell
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._changed = threading.Condition()
        self._pieces: list[bytes] = []
        self._size = 0
        self._error: Exception | None = None
        self._closed = False
        threading.Thread(target=self._read, name="ssh-stream", daemon=True).start()

    async def take(self) -> bytes:
        """All that has come, once there is something. Raises what `Shell.receive` raises, after the last piece."""
        await self._news.wait()
        with self._changed:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            if self._error is None:
                self._news.clear()
            elif not data:
                raise self._error
            self._changed.notify()
        return data

    def close(self) -> None:
        """Read no more; the thread ends once the shell is closed."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _read(self) -> None:
        try:
            while not self._closed:
                self._put(self._shell.receive())
        except Exception as error:  # noqa: BLE001 - the reader gets any error
            self._error = error
            self._notify()

    def _put(self, data: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._size < AHEAD or self._closed)
            self._pieces.append(data)
            self._size += len(data)
        self._notify()

    def _notify(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: no reader is left
            self._loop.call_soon_threadsafe(self._news.set)
