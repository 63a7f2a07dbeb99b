"""The one place where a value becomes shell text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from remote_slurm.errors import InvalidRequest

# Whole lines, and the rest of a line after a command and two spaces
_COMMENT = re.compile(r"^[ \t]*#(?!!).*\n|^\n|(?<=\S) {2,}# .*$", re.MULTILINE)
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+")


@dataclass(frozen=True, slots=True)
class Variable:
    """A word that only the job knows: `name` is ours or Slurm's, and `default` applies if it is not set."""

    name: str
    default: str


@dataclass(frozen=True, slots=True)
class Array:
    """Words that only the job knows, as many as there are: `name` is an array of the runner's."""

    name: str


@dataclass(frozen=True, slots=True)
class Hidden:
    """A word that must not be written into job.sh: hidden_words.py moves `value` into a file below secret/."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Element:
    """Item `index` of the runner's array `name`."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class Program:
    """The path of a script of job/: in the folder `lib` of job.sh, or in the pod's folder if pods share no scripts."""

    name: str


Word = str | Variable | Array | Hidden | Element | Program

Call = tuple[Word, ...]
"""A function of the runner and its arguments."""


def text_of(word: str | Hidden) -> str:
    """The value of a word that the sidecar knows."""
    return word.value if isinstance(word, Hidden) else word


def composed(parts: Iterable[str | Hidden], compose: Callable[[list[str]], str]) -> str | Hidden:
    """One word made of `parts`: hidden if one of `parts` is hidden."""
    given = tuple(parts)
    text = compose([text_of(part) for part in given])
    return Hidden(text) if any(isinstance(part, Hidden) for part in given) else text


def quote(value: str) -> str:
    r"""One word that every POSIX shell reads back as exactly `value`.

    A quote is written as '"'"' since apptainer's --env-file (1.4, with --no-eval) keeps the backslash of '\''.
    Raises InvalidRequest for a NUL, which no argument and no environment variable can hold.
    """
    if "\0" in value:
        raise InvalidRequest("a NUL character cannot be passed to a program")
    if value and _PLAIN.issuperset(value):
        return value
    return "'" + value.replace("'", "'\"'\"'") + "'"


def quote_escaped(value: str) -> str:
    r"""One word that bash and Apptainer's own interpreter (mvdan.cc/sh) read back as exactly `value`.

    As it is, that interpreter reads `\r\n` as `\n`, and ends at U+0080: what is not printable is written as an escape.
    Raises InvalidRequest for a NUL.
    """
    if all(each.isprintable() or each == "\n" for each in value):
        return quote(value)
    if "\0" in value:
        raise InvalidRequest("a NUL character cannot be passed to a program")
    return "$'" + "".join(map(_escaped, value)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable() or character == "\n":
        return character
    code = ord(character)
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}" if code > 0x7F else f"\\x{code:02x}"  # noqa: PLR2004


def words(values: Iterable[Word]) -> str:
    """Several words on a line."""
    return " ".join(_word(value) for value in values)


def _word(value: Word) -> str:
    match value:
        case Array(name):
            return f'"${{{name}[@]}}"'
        case Element(name, index):
            return f'"${{{name}[{index}]}}"'
        case Variable(name, default):
            return f'"${{{name}:-{default}}}"'
        case Program(name):
            return f'"${{lib:-.}}/{name}"'
        case Hidden():
            raise TypeError("a hidden word cannot be written into a script")
        case _:
            return quote(value)


def assignments(values: dict[str, str]) -> str:
    """`name='value'` lines; the names are ours."""
    return "".join(f"{name}={quote(value)}\n" for name, value in values.items())


def without_comments(script: str) -> str:
    """Return one of this package's scripts without comments and empty lines."""
    return _COMMENT.sub("", script)
