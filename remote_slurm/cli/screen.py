"""Output for people: lines, and on a terminal, colour and a last line that names what the command waits for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from enum import Enum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_WHEEL = "|/-\\"
_TURN = 0.2
_CLEAR = "\r\033[K"


def is_terminal(stream: TextIO) -> bool:
    """Whether it is a terminal where something can be drawn again."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def console(stream: TextIO) -> Console:
    """The console of rich on this stream. The import takes a moment: only terminals need it."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


class Colour(Enum):
    """By what they mean here."""

    GOOD = "32"
    BAD = "31"
    WARNING = "33"
    QUIET = "2"


class Screen:
    """One stream, such as standard error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = is_terminal(stream)
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        self._activity = ""
        self._since = 0.0

    @property
    def live(self) -> bool:
        """Whether it is a terminal where something can be drawn again."""
        return self._live

    def line(self, text: str) -> None:
        """One line that stays."""
        self._stream.write(f"{_CLEAR if self._live and self._activity else ''}{text}\n")
        self._stream.flush()

    def paint(self, text: str, colour: Colour) -> str:
        return f"\033[{colour.value}m{text}\033[0m" if self._coloured else text

    @contextlib.asynccontextmanager
    async def waiting(self, activity: str) -> AsyncIterator[None]:
        """On a terminal, show what is being waited for and for how long already, while the context lasts."""
        if not self._live:
            yield
            return
        self._activity, self._since = activity, time.monotonic()
        turning = asyncio.create_task(self._turn())
        try:
            yield
        finally:
            turning.cancel()
            self._activity = ""
            self._stream.write(_CLEAR)
            self._stream.flush()

    async def _turn(self) -> None:
        turn = 0
        while True:
            waited = time.monotonic() - self._since
            text = f"{_WHEEL[turn % len(_WHEEL)]} {self._activity} ({waited:.0f} s)"
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(_CLEAR + self.paint(text[:width], Colour.QUIET))
            self._stream.flush()
            turn += 1
            await asyncio.sleep(_TURN)
