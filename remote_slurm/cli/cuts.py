"""Texts that are too long for a terminal. Only terminals need this module, which loads rich."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

_ELLIPSIS = "…"


def cut_in_middle(text: str, width: int) -> str:
    """The text in at most so many columns: its beginning and its end name it best."""
    if cell_len(text) <= width:
        return text
    end = max(0, width - 1) // 2
    head, tail = set_cell_size(text, max(0, width - 1 - end)), set_cell_size(text[::-1], end)[::-1]
    return f"{head.rstrip()}{_ELLIPSIS}{tail.lstrip()}"[: max(0, width)]


def cut_at_end(text: str, width: int) -> str:
    """The text in at most so many columns."""
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, max(0, width - 1)).rstrip()}{_ELLIPSIS}"[: max(0, width)]
