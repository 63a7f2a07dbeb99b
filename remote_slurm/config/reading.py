"""YAML as text: every scalar stays what was written, and every key knows its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from yaml.nodes import MappingNode, Node

Where = tuple[str | int, ...]
"""A place in the document, such as `("SSH", "Port")` or `("Taints", 0, "effect")`."""

_YAML = "tag:yaml.org,2002:"
_PLAIN = {_YAML + kind for kind in ("str", "int", "float", "bool", "timestamp", "value", "map", "seq")}


class NotYaml(Exception):
    """The text is not one YAML document; `line` is where the reader gave up."""

    def __init__(self, message: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(message)


@dataclass(slots=True)
class Document:
    """The value of a YAML document. None if it is empty."""

    value: Any = None
    lines: dict[Where, int] = field(default_factory=dict)
    wrong: list[tuple[Where, int, str]] = field(default_factory=list)


def read_yaml(text: str, at: Where = ()) -> Document:
    """Read one document into dicts, lists and text; an empty value is the empty text. Raises NotYaml.

    `at` is the place where the document will be put.
    """
    document = Document()
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        if root is not None:
            document.value = _Reader(document).value(root, at)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotYaml(_in_words(error), mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise NotYaml("it holds a character that YAML does not allow") from error
    except RecursionError as error:
        raise NotYaml("it is nested too deeply") from error
    return document


def _in_words(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    return f"{error.context} {problem}" if problem.startswith("but ") else problem


class _Reader:
    """Turns nodes into values; what an alias names again is not read again, however often that is."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._done: dict[int, Any] = {}
        self._open: set[int] = set()

    def value(self, node: Node, where: Where) -> Any:
        if id(node) in self._open:
            return self._wrong(node, where, "contains itself")
        if id(node) not in self._done:
            self._open.add(id(node))
            self._done[id(node)] = self._read(node, where)
            self._open.remove(id(node))
        return self._done[id(node)]

    def _read(self, node: Node, where: Where) -> Any:
        if node.tag == _YAML + "null":
            return ""
        if node.tag not in _PLAIN:
            return self._wrong(node, where, f"has the tag {node.tag}, which means nothing here: write the value itself")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._noted(item, item, (*where, index)) for index, item in enumerate(node.value)]
        return node.value

    def _mapping(self, node: MappingNode, where: Where) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _YAML + "merge":
                merged = self._merged(value, where) | merged
            elif not isinstance(key, yaml.ScalarNode):
                self._wrong(key, where, "has a list or a block in place of a key")
            elif key.value in own:
                first = self._document.lines[*where, key.value]
                self._wrong(key, (*where, key.value), f"is set twice, first in line {first}: keep one of them")
            else:
                own[key.value] = self._noted(key, value, (*where, key.value))
        return merged | own

    def _merged(self, node: Node, where: Where) -> dict[str, Any]:
        blocks = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for block in blocks:
            value = self.value(block, where)
            if isinstance(value, dict):
                result = value | result
            else:
                self._wrong(block, where, "merges with << what is not a block of keys")
        return result

    def _noted(self, marked: Node, value: Node, where: Where) -> Any:
        self._document.lines[where] = marked.start_mark.line + 1
        return self.value(value, where)

    def _wrong(self, node: Node, where: Where, message: str) -> str:
        self._document.wrong.append((where, node.start_mark.line + 1, message))
        return ""
