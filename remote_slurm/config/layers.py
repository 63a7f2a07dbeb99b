"""The file, the environment and `--set`, laid over each other: one tree of text in which each value knows its origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from remote_slurm.config.model import Config
from remote_slurm.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yaml.nodes import MappingNode, Node

Where = tuple[str | int, ...]
"""A place in the tree, such as `("SSH", "Port")` or `("Taints", 0, "effect")`."""

_YAML = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_YAML + kind for kind in ("str", "int", "float", "bool", "timestamp", "value", "map", "seq")}


def dotted(where: Where) -> str:
    """Write a place as a key: `Taints[0].effect`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return "".join(steps).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: how its key is named to the person who wrote it, and its line in the file."""

    form: str = "{}"
    line: int | None = None

    def problem(self, where: Where, message: str) -> Problem:
        return Problem(self.form.format(dotted(where)), message, self.line)


@dataclass(slots=True)
class Layers:
    """The tree so far, the origin of each value, and what was already wrong with its form."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Where, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def origin(self, where: Where) -> Origin:
        """Find the origin of a place, or of the nearest block around it that was written down."""
        while where and where not in self.origins:
            where = where[:-1]
        return self.origins.get(where, Origin())

    def lay_file(self, root: MappingNode) -> None:
        """Lay the file's document down."""
        self.values = _Reading(self).value(root, ())

    def lay_environment(self, environ: Mapping[str, str]) -> None:
        """Lay the environment over it; an empty variable counts as not set."""
        for key, variable in environment_variables().items():
            if environ.get(variable):
                self._lay((key,), environ[variable], Origin(f"{variable} (environment)"))

    def lay_overrides(self, overrides: Iterable[str]) -> None:
        """Lay `KEY=VALUE` over it, where KEY may be `SSH.Port` and VALUE is YAML."""
        for override in overrides:
            key, equals, text = override.partition("=")
            where: Where = tuple(key.strip().split("."))
            origin = Origin("--set {}")
            if not equals or not all(where):
                self.problems.append(
                    origin.problem((override,), "must have the form KEY=VALUE, such as SSH.Port=22")
                )
                continue
            try:
                node = yaml.compose(text, yaml.SafeLoader)
            except yaml.YAMLError:
                self.problems.append(origin.problem(where, "is not a YAML value: put it in quotes"))
                continue
            self._lay(where, _Reading(self, origin).value(node, where) if node else "", origin)

    def _lay(self, where: Where, value: Any, origin: Origin) -> None:
        block: Any = self.values
        for step in where[:-1]:
            if not isinstance(block, dict):
                break
            block = block.setdefault(step, {})
        if isinstance(block, dict):  # else the file's own value is no block: an error of its own
            block[where[-1]] = value
            self.origins = {at: was for at, was in self.origins.items() if at[: len(where)] != where}
            self.origins[where] = origin


def environment_variables() -> dict[str, str]:
    """Map keys to the environment variables that win over them."""
    fields = ((field.alias or name, field.json_schema_extra) for name, field in Config.model_fields.items())
    return {
        key: str(extra["environment"])
        for key, extra in fields
        if isinstance(extra, dict) and "environment" in extra
    }


class _Reading:
    """Turn YAML nodes into text, lists and dicts, noting each key's origin and each key that stands twice."""

    def __init__(self, layers: Layers, origin: Origin | None = None) -> None:
        self._layers = layers
        self._origin = origin
        self._done: dict[int, Any] = {}  # a node that aliases name again is read once, however often that is

    def value(self, node: Node, where: Where) -> Any:
        if id(node) not in self._done:
            self._done[id(node)] = None  # an alias inside its own anchor
            self._done[id(node)] = self._read(node, where)
        return self._done[id(node)]

    def _read(self, node: Node, where: Where) -> Any:
        if node.tag == _YAML + "null":
            return ""
        if node.tag not in _PLAIN_TAGS:
            self._wrong(
                node, where, f"has the tag {node.tag}, which means nothing here: write the value itself"
            )
            return ""
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*where, index)) for index, item in enumerate(node.value)]
        return node.value

    def _item(self, node: Node, where: Where) -> Any:
        self._note(node, where)
        return self.value(node, where)

    def _mapping(self, node: MappingNode, where: Where) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _YAML + "merge":
                merged = self._merge(value, where) | merged
            elif not isinstance(key, yaml.ScalarNode):
                self._wrong(key, where, "has a list or a block where a key should stand")
            elif key.value in own:
                first = self._layers.origins[(*where, key.value)].line
                self._wrong(
                    key, (*where, key.value), f"stands twice, first in line {first}: keep one of them"
                )
            else:
                self._note(key, (*where, key.value))
                own[key.value] = self.value(value, (*where, key.value))
        return merged | own

    def _merge(self, node: Node, where: Where) -> dict[str, Any]:
        blocks = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for block in blocks:
            value = self.value(block, where)
            if isinstance(value, dict):
                result = value | result
            else:
                self._wrong(block, where, "merges (<<) something that is not a block of keys")
        return result

    def _note(self, node: Node, where: Where) -> None:
        self._layers.origins[where] = self._origin or Origin(line=node.start_mark.line + 1)

    def _wrong(self, node: Node, where: Where, message: str) -> None:
        origin = self._origin or Origin(line=node.start_mark.line + 1)
        self._layers.problems.append(origin.problem(where, message))
