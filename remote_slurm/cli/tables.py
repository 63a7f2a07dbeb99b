"""Tables for people. On a terminal they fit its width, and long names lose their middle; elsewhere nothing is cut."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from remote_slurm.cli.screen import console, is_terminal

if TYPE_CHECKING:
    from rich.table import Table

_ELLIPSIS = "…"
_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. In a narrow terminal it is cut to `least`, `in_middle` or at its end; 0 cuts nothing.

    The columns with the highest `rank` lose first: they are cut, and then left out. Rank 0 is never left out.
    """

    title: str
    rank: int = 0
    least: int = 0
    in_middle: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and a style of rich for terminals with colours."""

    text: str
    style: str = ""


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """Print it to standard output."""
    if is_terminal(sys.stdout):
        to = console(sys.stdout)
        to.print(fitted(columns, rows, to.width))
    else:
        print("\n".join(Uncut(columns).lines(rows)))


class Uncut:
    """A table as wide as what is in it, below one header. Later rows make columns only wider."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._titles: list[str] = [column.title for column in columns]
        self._widths = [0 for _ in columns]

    def lines(self, rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
        """The lines of these rows, the first time with the header."""
        texts = [*([self._titles] if self._titles else []), *([plain(cell.text) for cell in row] for row in rows)]
        for row in texts:
            self._widths = [max(width, len(text)) for width, text in zip(self._widths, row, strict=True)]
        self._titles = []
        for row in texts:
            yield "  ".join(text.ljust(width) for text, width in zip(row, self._widths, strict=True)).rstrip()


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Table:
    """The table for a terminal of this width: each row is one line of it."""
    from rich.table import Table
    from rich.text import Text

    texts = [[plain(cell.text) for cell in row] for row in rows]
    widths = [
        max(width_of(text) for text in (column.title, *each)) for column, *each in zip(columns, *texts, strict=True)
    ]
    widths = shrunk(columns, widths, width)
    table = Table.grid(padding=(0, _GAP, 0, 0))
    for each in widths:
        if each:
            table.add_column(width=each, no_wrap=True)
    header = [Cell(column.title, "dim") for column in columns]
    for row in (header, *rows):
        table.add_row(
            *(
                Text((cut_in_middle if column.in_middle else cut_at_end)(plain(cell.text), room), cell.style)
                for column, cell, room in zip(columns, row, widths, strict=True)
                if room
            )
        )
    return table


def shrunk(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """The widths of the columns in a terminal of this width; 0 for a column that is left out."""
    room = list(widths)
    ranked = sorted(
        (at for at, column in enumerate(columns) if column.rank or column.least), key=lambda at: -columns[at].rank
    )

    def excess() -> int:
        return sum(room) + _GAP * (sum(map(bool, room)) - 1) - width

    for at in ranked:
        if columns[at].least:
            room[at] = max(min(room[at], columns[at].least), room[at] - max(0, excess()))
    for at in ranked:
        if columns[at].rank and excess() > 0:
            room[at] = 0
    # what a column that was left out has freed belongs to the first one that never is
    first = next(at for at, column in enumerate(columns) if not column.rank)
    room[first] = max(1, min(widths[first], room[first] - excess()))
    return room


def width_of(text: str) -> int:
    """The columns that a terminal takes for the text: two for wide letters."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut_in_middle(text: str, width: int) -> str:
    """The text in at most so many columns: its beginning and its end name it best."""
    if width_of(text) <= width:
        return text
    end = max(0, width - 1) // 2
    head, tail = _first(text, width - 1 - end), _first(text[::-1], end)[::-1]
    return f"{head.rstrip()}{_ELLIPSIS}{tail.lstrip()}"[: max(0, width)]


def cut_at_end(text: str, width: int) -> str:
    """The text in at most so many columns."""
    if width_of(text) <= width:
        return text
    return f"{_first(text, width - 1).rstrip()}{_ELLIPSIS}"[: max(0, width)]


def _first(text: str, width: int) -> str:
    """Its beginning, in at most so many columns."""
    if text.isascii():
        return text[: max(0, width)]
    from rich.cells import set_cell_size

    return set_cell_size(text, max(0, width))


def plain(text: str) -> str:
    """Without signs that a terminal would obey: much of it comes from the site."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
