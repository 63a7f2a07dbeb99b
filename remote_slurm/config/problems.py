"""The problems that pydantic finds, as sentences about keys: the key, its line, and what is allowed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args

from remote_slurm.config.block import Block
from remote_slurm.config.scalar_types import shown

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from remote_slurm.config.layers import Layers
    from remote_slurm.config.reading import Where
    from remote_slurm.errors import Problem

_A_FEW = 15


def problems(error: ValidationError, model: type[Block], layers: Layers) -> list[Problem]:
    """Say everything that is wrong."""
    return [_problem(detail, model, layers) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, model: type[Block], layers: Layers) -> Problem:
    where = detail["loc"] if detail["loc"] in layers.origins else _in_keys(model, detail["loc"])
    if isinstance(where[-1], int) and where not in layers.origins:
        where = where[:-1]  # one text in place of a list
    return layers.origin(where).problem(where, _sentence(detail, model))


def _sentence(detail: ErrorDetails, model: type[Block]) -> str:
    where = detail["loc"]
    match detail["type"]:
        case "value_error":
            return str(detail["ctx"]["error"])
        case "extra_forbidden":
            return _unknown(str(where[-1]), _block(model, where[:-1]))
        case "missing":
            block = _block(model, where[:-1])
            purpose = str(block.model_fields[block.keys()[str(where[-1])]].description)
            first = purpose.partition(". ")[0].rstrip(".")
            return f"is required: {first[0].lower()}{first[1:]}"
        case "model_type" | "dict_type":
            return f"must be a block of keys, not {shown(detail['input'])}"
        case "tuple_type":
            return f"must be a list, such as [one, two], not {shown(detail['input'])}"
        case _:
            return f"is wrong: {detail['msg']}"


def _unknown(key: str, block: type[Block]) -> str:
    known = block.keys()
    blocks = {
        field.alias or name: inner.keys()
        for name, field in block.model_fields.items()
        if (inner := _block_in(field.annotation))
    }
    inside = [f"{key} inside {name}" for name, keys in blocks.items() if key in keys]
    near = [nearest] if (nearest := _nearest(key, known)) else []
    nearly = [f"{nearest} inside {name}" for name, keys in blocks.items() if (nearest := _nearest(key, keys))]
    meant = next(iter([*inside, *near, *nearly]), "")
    if meant:
        return f"is not a known key: did you mean {meant}?"
    if len(known) <= _A_FEW:
        return f"is not a known key: known are {', '.join(known)}"
    return "is not a known key: `remote-slurm config example` prints all of them"


def _nearest(key: str, known: dict[str, str]) -> str | None:
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(key.lower(), by_lower, n=1, cutoff=0.75)
    return by_lower[found[0]] if found else None


def _block(model: type[Block], where: Where) -> type[Block]:
    """Find the block that describes a place; a step from many blocks to one of them does not leave it."""
    block = model
    for step in where:
        attribute = block.keys().get(str(step))
        inner = _block_in(block.model_fields[attribute].annotation) if attribute else None
        block = inner or block
    return block


def _in_keys(model: type[Block], where: Where) -> Where:
    """Name a place by the file's keys: where a default is wrong, pydantic names the attribute."""
    keys: list[str | int] = []
    for depth, step in enumerate(where):
        field = _block(model, where[:depth]).model_fields.get(str(step))
        keys.append(field.alias or step if field else step)
    return tuple(keys)


def _block_in(annotation: Any) -> type[Block] | None:
    """Find the Block in `Block`, `tuple[Block, ...]` or `Mapping[str, Block]`."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation
    inside = (_block_in(argument) for argument in get_args(annotation))
    return next((block for block in inside if block), None)
