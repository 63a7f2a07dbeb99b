"""Tables for people. On a terminal they fit its width, and long names lose their middle; elsewhere nothing is cut."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from remote_slurm.cli.screen import console, is_terminal

if TYPE_CHECKING:
    from rich.table import Table

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
        print("\n".join(uncut(columns, rows)))


def uncut(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """The lines of a table as wide as what is in it."""
    texts = [[column.title for column in columns], *([plain(cell.text) for cell in row] for row in rows)]
    widths = [max(len(row[at]) for row in texts) for at in range(len(columns))]
    for row in texts:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Table:
    """The table for a terminal of this width: each row is one line of it."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    from remote_slurm.cli.cuts import cut_at_end, cut_in_middle

    texts = [[plain(cell.text) for cell in row] for row in rows]
    widths = [
        max(cell_len(text) for text in (column.title, *each)) for column, *each in zip(columns, *texts, strict=True)
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
    # what a column that was left out has freed belongs to the first one
    room[0] = max(1, min(widths[0], room[0] - excess()))
    return room


def plain(text: str) -> str:
    """Without signs that a terminal would obey: much of it comes from the site."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
