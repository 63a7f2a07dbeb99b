"""Output for people, by rich: lines, and on a terminal, colour and a last line that names what the command waits for.

Nothing here loads rich unless the stream is a terminal: the import takes a moment.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator
from enum import Enum
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

# A colour, and its end
_CODE = re.compile(r"(\x1b\[[0-9;]*m)")


def visible(text: str) -> str:
    """Without signs that a terminal would obey, except line breaks: much of it comes from containers and the site."""
    return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)


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
        self._codes: set[str] = set()  # which `paint` has used

    @property
    def live(self) -> bool:
        """Whether it is a terminal where something can be drawn again."""
        return self._live

    def line(self, text: str) -> None:
        """One line that stays. Of signs that a terminal would obey, it keeps the colours of `paint` only."""
        text = "".join(part if part in self._codes else visible(part) for part in _CODE.split(text))
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

        painted = Style.parse(colour.value).render(visible(text), color_system=ColorSystem.STANDARD)
        self._codes.update(_CODE.findall(painted))
        return painted

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
