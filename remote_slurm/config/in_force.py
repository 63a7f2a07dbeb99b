"""The configuration in force, with the origin of each value, as YAML that a person reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from remote_slurm.config.layers import Layers
from remote_slurm.config.model import Config
from remote_slurm.config.reading import Where

MASK = "***"
DEFAULT = "default"

# Blocks whose values a site may use for tokens; and words of a command that may hold one
_SECRET_BLOCKS = frozenset({"RuntimeEnvironment"})
_NAME = r"[\w-]*(?:password|passwd|secret|token|apikey|api_key)[\w-]*"
_WORD = r"""(?:"[^"]*"|'[^']*'|\S+)"""
_SECRET_WORD = re.compile(rf"(?i)({_NAME}[=:\s]\s*)(?!/){_WORD}")
# A header of HTTP
_SECRET_HEADER = re.compile(r"(?i)(\b(?:authorization:\s*\w+|bearer)\s+)[\w.~+/=-]+")
# An option whose value is the next word of a list
_SECRET_OPTION = re.compile(rf"(?i)-{_NAME}")
_SECRET_URL = re.compile(r"(\w+://[^/\s:@]+:)[^/\s@]+@")


def values_in_force(config: Config) -> dict[str, Any]:
    """Return each key with its value, as JSON has it; values that may be secrets are masked."""
    shown: dict[str, Any] = _masked(config.model_dump(mode="json", by_alias=True), secret=False)
    return shown


def lines_in_force(config: Config, layers: Layers) -> Iterator[str]:
    """Yield the lines of a YAML file, each with the origin of its value as a comment."""
    yield from _lines(values_in_force(config), (), layers)


def origin_of(where: Where, layers: Layers) -> str:
    """Return `line 3`, `--set`, the name of an environment variable, or `default`."""
    written: Any = layers.values
    for step in where:
        if not isinstance(written, Mapping) or step not in written:
            return DEFAULT
        written = written[step]
    if written == "" or written is None:
        return DEFAULT
    origin = layers.origin(where)
    return f"line {origin.line}" if origin.line else origin.form.replace(" {}", "").removesuffix(" (environment)")


def _lines(values: Mapping[str, Any], above: Where, layers: Layers) -> Iterator[str]:
    indent = "  " * len(above)
    for key, value in values.items():
        where = (*above, key)
        if isinstance(value, dict) and value:
            yield f"{indent}{_text(key)}:"
            yield from _lines(value, where, layers)
        else:
            yield f"{indent}{_text(key)}: {_text(value)}  # {origin_of(where, layers)}"


def _text(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _masked(value: Any, *, secret: bool) -> Any:
    if isinstance(value, dict):
        return {key: _masked(each, secret=secret or key in _SECRET_BLOCKS) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        pairs = zip(value, ("", *value), strict=False)
        return [_masked(each, secret=secret or _is_secret(each, before)) for each, before in pairs]
    if not isinstance(value, str):
        return MASK if secret and value is not None else value
    if secret:
        return MASK
    for pattern, shown in ((_SECRET_WORD, rf"\1{MASK}"), (_SECRET_HEADER, rf"\1{MASK}"), (_SECRET_URL, rf"\1{MASK}@")):
        value = pattern.sub(shown, value)
    return value


def _is_secret(word: Any, before: Any) -> bool:
    """Whether the word before it in a list is an option that takes a secret."""
    is_option = isinstance(before, str) and _SECRET_OPTION.fullmatch(before) is not None
    return is_option and not str(word).startswith(("/", "-"))
