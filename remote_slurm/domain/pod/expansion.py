"""`$(NAME)` in commands, arguments, values and subPathExpr, as Kubernetes expands it.

A port of Kubernetes' third_party/forked/golang/expansion: `$$` is a `$`, and what is not known stays as it is.
Patterns are applied only to the text up to the last `)`: behind it each `$(` would search all of the rest in vain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from remote_slurm.domain.pod.limits import ARGUMENT_BYTES
from remote_slurm.errors import InvalidRequest

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")


def expand(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` by its value where there is one, `$$` as `$`: so `$$(NAME)` is `$(NAME)`."""
    head, tail = _halves(text)
    return _REFERENCE.sub(_bounded(lambda found: "$" if found[1] else known.get(found[2], found[0])), head) + (
        tail.replace("$$", "$")
    )


def unresolved_references(text: str, known: Mapping[str, str]) -> list[str]:
    """Return the names in `$(NAME)` that have no value."""
    return [name for escape, name in _REFERENCE.findall(_halves(text)[0]) if not escape and name not in known]


def references_only(text: str, known: Mapping[str, str]) -> str:
    """Like `expand`, but where nothing known is named, nothing changes: not even `$$`."""
    head, tail = _halves(text)
    return _KNOWN.sub(_bounded(lambda found: _kept_or_known(found, known)), head) + tail


_KNOWN = re.compile(r"(\$?)\$\(([^)]*)\)")


def _kept_or_known(found: re.Match[str], known: Mapping[str, str]) -> str:
    if found[2] not in known:
        return found[0]
    return f"$({found[2]})" if found[1] else known[found[2]]


def _halves(text: str) -> tuple[str, str]:
    """The text up to its last `)`, in which each `$(` has an end, and the rest."""
    cut = text.rfind(")") + 1
    return text[:cut], text[cut:]


def _bounded(replace: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
    """The same, until what it returns is more than any program takes: a value may be named a thousand times."""
    size = 0

    def bounded(found: re.Match[str]) -> str:
        nonlocal size
        text = replace(found)
        size += len(text)
        if size > ARGUMENT_BYTES:
            raise InvalidRequest(
                f"a text with $(NAME) is larger than {ARGUMENT_BYTES >> 20} MiB when expanded, the limit of Linux "
                "for arguments"
            )
        return text

    return bounded
