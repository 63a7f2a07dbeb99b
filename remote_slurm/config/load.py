"""Read the configuration, from the first byte to a `Config` or the list of everything that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from remote_slurm.config.block import Machine
from remote_slurm.config.layers import Layers
from remote_slurm.config.model import Config, default_state_folder
from remote_slurm.config.problems import problems
from remote_slurm.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yaml.nodes import MappingNode

DEFAULT_PATH = Path("/etc/interlink/SlurmConfig.yaml")
_FILE = "file"


def load_config(path: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> Config:
    """Load the file at path, else at SLURMCONFIGPATH, else at /etc/interlink/SlurmConfig.yaml.

    The environment wins over the file, and overrides (`KEY=VALUE`, from `--set`) over both. Raises ConfigError with
    every problem at once.
    """
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    path, hint = _choose(path, environ, home)
    layers = Layers()
    layers.lay_file(_document(path, hint))
    layers.lay_environment(environ)
    layers.lay_overrides(overrides)
    machine = Machine(path.absolute().parent, home, default_state_folder(environ))
    found = layers.problems
    try:
        config = Config.model_validate(layers.values, context=machine)
    except ValidationError as error:
        found = found + problems(error, Config, layers)
    if found:
        raise ConfigError(
            str(path), sorted(found, key=lambda problem: (problem.line is None, problem.line or 0))
        )
    return config


def _choose(path: Path | None, environ: Mapping[str, str], home: Path) -> tuple[Path, str]:
    if path is not None:
        return path, ""
    if environ.get("SLURMCONFIGPATH"):
        named = environ["SLURMCONFIGPATH"]
        return (home / named[2:] if named.startswith("~/") else Path(named)), " (SLURMCONFIGPATH names it)"
    return DEFAULT_PATH, ": name yours with --config FILE or in SLURMCONFIGPATH"


def _document(path: Path, hint: str) -> MappingNode:
    try:
        root = yaml.compose(path.read_bytes().decode("utf-8-sig"), yaml.SafeLoader)
    except FileNotFoundError as error:
        raise _unusable(path, f"does not exist{hint}") from error
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}{hint}") from error
    except UnicodeDecodeError as error:
        raise _unusable(path, "is not UTF-8 text") from error
    except RecursionError as error:
        raise _unusable(path, "is nested too deeply to be a configuration") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _unusable(path, f"is not YAML: {error.problem}", mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise _unusable(path, "is not YAML: it holds characters that YAML does not allow") from error
    if root is None:
        raise _unusable(path, "is empty: see examples/config/SlurmConfig.yaml for what belongs into it")
    if not isinstance(root, yaml.MappingNode):
        raise _unusable(path, "is not a block of keys, such as SidecarPort: 4000")
    return root


def _unusable(path: Path, message: str, line: int | None = None) -> ConfigError:
    return ConfigError(str(path), [Problem(_FILE, message, line)])
