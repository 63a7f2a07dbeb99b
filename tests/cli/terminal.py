"""The program on a terminal of any size, and what is on its screen."""

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import termios
from typing import Any, Self

import pyte

from tests.forked_program import Preloaded
from tests.sidecar import ENVIRONMENT, PATIENCE


class Terminal:
    """A process of the program on `columns` by `lines`. Use it as an async context."""

    def __init__(self, *words: object, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self._words = [str(word) for word in words]
        self._size = (lines, columns)
        self._environment = {**ENVIRONMENT, "TERM": "xterm-256color", **environment}
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""

    async def __aenter__(self) -> Self:
        self._ours, self._theirs = pty.openpty()
        self._resize()
        with os.fdopen(self._theirs, "r+b", buffering=0, closefd=False) as terminal:
            self.process = Preloaded(self._words, terminal, terminal, terminal, self._environment, on_terminal=True)
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        self.process.kill()
        await self.code()
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self) -> None:
        data = os.read(self._ours, 65536)
        self.written += data
        self._stream.feed(data)

    def _read_rest(self) -> bool:
        """Read what a program that has ended had written: whether it was anything."""
        before = len(self.written)
        while select.select([self._ours], [], [], 0)[0]:
            self._read()
        return len(self.written) > before

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._theirs)

    @property
    def rows(self) -> list[str]:
        """The lines on the screen."""
        return [row.rstrip() for row in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def resize(self, columns: int, lines: int) -> None:
        """As a window does."""
        self._size = (lines, columns)
        self._screen.resize(lines, columns)
        self._resize()
        os.killpg(self.process.pid, signal.SIGWINCH)

    def _resize(self) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *self._size, 0, 0))

    async def until(self, *texts: str) -> None:
        """Wait until all of the texts are on the screen."""
        async with asyncio.timeout(PATIENCE):
            while not all(text in self.text for text in texts):
                if self.process.poll() is None:
                    await asyncio.sleep(0.02)
                elif not self._read_rest():
                    raise AssertionError(f"it has ended with {texts} missing: {self.text}")

    async def until_not(self, text: str) -> None:
        """Wait until the text is not on the screen."""
        async with asyncio.timeout(PATIENCE):
            while text in self.text:  # noqa: ASYNC110 - a screen has no event
                await asyncio.sleep(0.02)

    async def code(self) -> int:
        code = await asyncio.to_thread(self.process.wait, PATIENCE)
        self._read_rest()
        return code
