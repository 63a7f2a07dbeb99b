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
_SECRET_WORD = re.compile(r"(?i)([\w-]*(?:password|passwd|secret|token|apikey|api_key)[\w-]*[=:\s]\s*)(?!/)\S+")
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
        return [_masked(each, secret=secret) for each in value]
    if not isinstance(value, str):
        return MASK if secret and value is not None else value
    return MASK if secret else _SECRET_URL.sub(rf"\1{MASK}@", _SECRET_WORD.sub(rf"\1{MASK}", value))
