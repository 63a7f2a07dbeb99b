"""One reader for the YAML files of the sidecar: SlurmConfig.yaml, and the file that Access names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from remote_slurm.config.block import Block
from remote_slurm.config.host_defaults import Machine
from remote_slurm.config.layers import Layers
from remote_slurm.config.problems import problems
from remote_slurm.config.reading import Document, NotYaml, Where, read_yaml
from remote_slurm.config.strict_modes import unsafe_file
from remote_slurm.errors import ConfigError, Problem, not_utf8

_Model = TypeVar("_Model", bound=Block)


def read_document(path: Path, *, key: str = "", hint: str = "", example: str = "") -> Document:
    """Return the file as a block of keys. Raises ConfigError.

    Messages begin with `key`, the configuration key that names the file. `hint` completes the message about a file that
    cannot be read, and `example` the one about a file that has no keys.
    """
    begin = f"{key} " if key else ""
    try:
        document = read_yaml(path.read_bytes().decode("utf-8"))
        others = unsafe_file(path) if path.is_file() else ""
    except FileNotFoundError as error:
        raise _unusable(path, f"{begin}does not exist{hint}") from error
    except OSError as error:
        raise _unusable(path, f"{begin}cannot be read{hint}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unusable(path, f"{begin}{not_utf8(error)}") from error
    except NotYaml as error:
        raise _unusable(path, f"{begin}is not YAML: {error}", error.line) from error
    if others:
        raise _unusable(path, f"{begin}is not used: {others}")
    if document.value in (None, "", {}):
        raise _unusable(path, f"{begin}is empty: {example}")
    if not isinstance(document.value, dict):
        raise _unusable(path, f"{begin}must be a block of keys: {example}")
    return document


def no_problems(model: Block) -> Iterable[Problem]:  # noqa: ARG001 - the interface of a check
    """Accept every value."""
    return ()


def validated(
    path: Path,
    layers: Layers,
    model: type[_Model],
    machine: Machine,
    check: Callable[[_Model], Iterable[Problem]] = no_problems,
    required: Mapping[str, Any] | None = None,
) -> _Model:
    """Return the values of the layers. Raises ConfigError with all problems, in the order of their lines.

    `check` finds further problems in the valid values. `required` has a value for each required key, which `check` gets
    if that of the layers is wrong. A validator of a whole block, in the model, runs only if its keys are valid.
    """
    found = list(layers.problems)
    try:
        values = model.model_validate(layers.values, context=machine)
    except ValidationError as error:
        found += problems(error, model, layers)
        valid = _valid_part(layers.values, model, machine, error, required or {})
        found += map(layers.located, check(valid) if valid else ())
    else:
        found += map(layers.located, check(values))
    if found:
        raise ConfigError(str(path), sorted(found, key=lambda problem: (problem.line is None, problem.line or 0)))
    return values


def _valid_part(
    values: dict[str, Any], model: type[_Model], machine: Machine, error: ValidationError, required: Mapping[str, Any]
) -> _Model | None:
    """Return the model without the values that are wrong. None if a wrong value cannot be removed."""
    part = deepcopy(values)
    while True:
        places = [detail["loc"] for detail in error.errors(include_url=False)]
        # the last entry of a list first, so that the others keep their numbers
        places.sort(key=lambda place: [str(step).zfill(9) for step in place], reverse=True)
        removed = [_remove(part, place, model) for place in places]
        if not any(removed):
            return None
        try:
            return model.model_validate({**required, **part}, context=machine)
        except ValidationError as further:
            error = further  # a check of a whole block, which can be an effect of what was removed: not reported


def _remove(values: dict[str, Any], place: Where, model: type[Block]) -> bool:
    """Remove the value at a place, or the nearest one around it that exists. Return whether there is one."""
    keys = {attribute: key for key, attribute in model.keys().items()}
    nearest: tuple[Any, Any] | None = None
    inner: Any = values
    for step in (keys.get(str(place[0]), place[0]), *place[1:]):
        around = dict(enumerate(inner)) if isinstance(inner, list) else inner
        if not isinstance(around, dict) or step not in around:
            break
        nearest, inner = (inner, step), around[step]
    if nearest:
        container, key = nearest
        del container[key]
    return nearest is not None


def _unusable(path: Path, message: str, line: int | None = None) -> ConfigError:
    return ConfigError(str(path), [Problem("", message, line)])
