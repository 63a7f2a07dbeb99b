"""`$(NAME)` in commands, arguments, values and subPathExpr, as Kubernetes expands it.

A port of Kubernetes' third_party/forked/golang/expansion: `$$` is a `$`, and what is not known stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^)]*)\))")


def expand(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` by its value where there is one, `$$` as `$`: so `$$(NAME)` is `$(NAME)`."""
    return _REFERENCE.sub(lambda found: "$" if found[1] else known.get(found[2], found[0]), text)


def unknown_names(text: str, known: Mapping[str, str]) -> list[str]:
    """The names that `expand` finds no value for."""
    return [name for escape, name in _REFERENCE.findall(text) if not escape and name not in known]


def references_only(text: str, known: Mapping[str, str]) -> str:
    """Like `expand`, but where nothing known is named, nothing changes: not even `$$`."""
    return _KNOWN.sub(lambda found: _kept_or_known(found, known), text)


_KNOWN = re.compile(r"(\$?)\$\(([^)]*)\)")


def _kept_or_known(found: re.Match[str], known: Mapping[str, str]) -> str:
    if found[2] not in known:
        return found[0]
    return f"$({found[2]})" if found[1] else known[found[2]]
