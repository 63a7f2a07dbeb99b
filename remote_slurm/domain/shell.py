"""The one place where a value becomes shell text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from remote_slurm.errors import Rejected

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+")


@dataclass(frozen=True, slots=True)
class Variable:
    """A word that only the job knows: `name` is ours or Slurm's, and `default` stands where it is not set."""

    name: str
    default: str


@dataclass(frozen=True, slots=True)
class Array:
    """Words that only the job knows, as many as there are: `name` is an array of the runner's."""

    name: str


Word = str | Variable | Array


def quote(value: str) -> str:
    r"""One word that every POSIX shell reads back as exactly `value`.

    A quote is written as '"'"' since apptainer's --env-file (1.4, with --no-eval) keeps the backslash of '\''.
    Raises Rejected for a NUL, which no argument and no environment variable can hold.
    """
    if "\0" in value:
        raise Rejected("a NUL character cannot be passed to a program")
    if value and _PLAIN.issuperset(value):
        return value
    return "'" + value.replace("'", "'\"'\"'") + "'"


def words(values: Iterable[Word]) -> str:
    """Several words on a line."""
    return " ".join(_word(value) for value in values)


def _word(value: Word) -> str:
    if isinstance(value, Array):
        return f'"${{{value.name}[@]}}"'
    return f'"${{{value.name}:-{value.default}}}"' if isinstance(value, Variable) else quote(value)


def assignments(values: dict[str, str]) -> str:
    """`name='value'` lines; the names are ours."""
    return "".join(f"{name}={quote(value)}\n" for name, value in values.items())
