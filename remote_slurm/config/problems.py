"""What pydantic found wrong, as sentences about keys: which one, in which line, and what would be right."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args

from remote_slurm.config.block import Block
from remote_slurm.config.values import shown

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from remote_slurm.config.layers import Layers, Where
    from remote_slurm.errors import Problem


def problems(error: ValidationError, model: type[Block], layers: Layers) -> list[Problem]:
    """Say everything that is wrong."""
    found = error.errors(include_url=False)
    return [layers.origin(detail["loc"]).problem(detail["loc"], _sentence(detail, model)) for detail in found]


def _sentence(detail: ErrorDetails, model: type[Block]) -> str:
    where = detail["loc"]
    match detail["type"]:
        case "extra_forbidden":
            return _unknown(str(where[-1]), _block(model, where[:-1]))
        case "missing":
            block = _block(model, where[:-1])
            return f"is required: {block.model_fields[block.keys()[str(where[-1])]].description}"
        case "model_type" | "model_attributes_type" | "mapping_type" | "dict_type":
            return f"must be a block of keys, not {shown(detail['input'])}"
        case "tuple_type" | "list_type":
            return f"must be a list, such as [one, two], not {shown(detail['input'])}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return f"is not right: {detail['msg']}"


def _unknown(key: str, block: type[Block]) -> str:
    known = list(block.keys())
    by_lower = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(key.lower(), by_lower, n=1)
    if nearest:
        return f"is not a known key: did you mean {by_lower[nearest[0]]}?"
    return f"is not a known key; known are {', '.join(sorted(known))}"


def _block(model: type[Block], where: Where) -> type[Block]:
    """Find the model that describes a place."""
    kind: Any = model
    for step in where:
        if isinstance(kind, type) and issubclass(kind, Block):
            kind = _blocks_in(kind.model_fields[kind.keys()[str(step)]].annotation)
    if not (isinstance(kind, type) and issubclass(kind, Block)):
        raise TypeError(f"{where} is no block of {model.__name__}")
    return kind


def _blocks_in(annotation: Any) -> Any:
    """Find the Block in `tuple[Block, ...]` or `Mapping[str, Block]`."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return annotation
    inside = (_blocks_in(argument) for argument in get_args(annotation))
    return next((kind for kind in inside if kind is not None), None)
