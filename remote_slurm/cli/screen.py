"""Output for people, by rich: lines, and on a terminal, colour and a last line that names what the command waits for.

Nothing here loads rich unless the stream is a terminal: the import takes a moment.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from enum import Enum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console


class Colour(Enum):
    """By what they mean here; the values are styles of rich."""

    GOOD = "green"
    BAD = "red"
    WARNING = "yellow"
    QUIET = "dim"


def is_terminal(stream: TextIO) -> bool:
    """Whether it is a terminal where something can be drawn again."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def console(stream: TextIO) -> Console:
    """The console of rich on this stream."""
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


class Screen:
    """One stream, such as standard error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = is_terminal(stream)
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        self._waiting: Console | None = None

    @property
    def live(self) -> bool:
        """Whether it is a terminal where something can be drawn again."""
        return self._live

    def line(self, text: str) -> None:
        """One line that stays."""
        if self._waiting is None:
            self._stream.write(f"{text}\n")
            self._stream.flush()
            return
        from rich.text import Text

        self._waiting.print(Text.from_ansi(text), soft_wrap=True)  # above the last line

    def sign(self, sign: str, plain: str) -> str:
        """The sign, or the plain one if the encoding of the stream lacks it: `?` would stand for all of them."""
        try:
            sign.encode(self._stream.encoding or "utf-8")
        except (UnicodeEncodeError, LookupError):
            return plain
        return sign

    def paint(self, text: str, colour: Colour) -> str:
        if not self._coloured:
            return text
        from rich.color import ColorSystem
        from rich.style import Style

        return Style.parse(colour.value).render(text, color_system=ColorSystem.STANDARD)

    @contextlib.asynccontextmanager
    async def waiting(self, activity: str) -> AsyncIterator[None]:
        """On a terminal, show what is being waited for and for how long already, while the context lasts."""
        if not self._live:
            yield
            return
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._waiting = console(self._stream)
        columns = (SpinnerColumn("line", style=""), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        progress = Progress(
            *columns, console=self._waiting, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        with progress:
            progress.add_task(activity, total=None)
            try:
                yield
            finally:
                self._waiting = None
