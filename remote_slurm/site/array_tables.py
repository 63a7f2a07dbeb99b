"""Which pods the tasks of our job arrays are, as far as this sidecar has submitted or read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet


class ArrayTables:
    """By the names of the arrays. A table never changes."""

    def __init__(self) -> None:
        self._tables: dict[str, Mapping[int, str]] = {}
        self._new: set[str] = set()  # since the last `keep`

    def pod(self, array: str, task: int) -> str:
        """The pod; empty if it is not known."""
        return self._tables.get(array, {}).get(task, "")

    def unknown(self, arrays: Iterable[str]) -> set[str]:
        return set(arrays) - self._tables.keys()

    def learn(self, tables: dict[str, dict[int, str]]) -> None:
        self._tables |= tables
        self._new |= tables.keys()

    def keep(self, listed: AbstractSet[str]) -> None:
        """Forget the arrays that squeue does not list, unless they are newer than it."""
        self._tables = {name: table for name, table in self._tables.items() if name in listed or name in self._new}
        self._new.clear()
