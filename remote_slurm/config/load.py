"""Read the configuration, from the first byte to a `Config` or the list of everything that is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from remote_slurm.config.layers import Layers
from remote_slurm.config.machine import Machine, default_state_folder, home_folder
from remote_slurm.config.model import Config
from remote_slurm.config.problems import problems
from remote_slurm.config.reading import NotYaml, read_yaml
from remote_slurm.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from remote_slurm.config.reading import Document

DEFAULT_PATH = Path("/etc/interlink/SlurmConfig.yaml")


def load_config(path: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> Config:
    """Load the file at path, else at SLURMCONFIGPATH, else at /etc/interlink/SlurmConfig.yaml.

    The environment wins over the file, and overrides (`KEY=VALUE`, from `--set`) over both. Relative local
    paths start at the file's folder, wherever they are given. Raises ConfigError with every problem at once.
    """
    path, hint = config_path(path, environ), _hint(path, environ)
    layers = Layers()
    layers.lay_file(_read(path, hint))
    layers.lay_environment(environ)
    layers.lay_overrides(overrides)
    machine = Machine(path.absolute().parent, home_folder(environ), default_state_folder(environ))
    found = layers.problems
    try:
        config = Config.model_validate(layers.values, context=machine)
    except ValidationError as error:
        found = found + problems(error, Config, layers)
    if found:
        raise ConfigError(str(path), sorted(found, key=lambda problem: (problem.line is None, problem.line or 0)))
    return config


def config_path(path: Path | None, environ: Mapping[str, str]) -> Path:
    """The file that is read where `path` is given, or none is."""
    return path or Path(environ.get("SLURMCONFIGPATH") or DEFAULT_PATH)


def _hint(path: Path | None, environ: Mapping[str, str]) -> str:
    if path is not None:
        return ""
    if environ.get("SLURMCONFIGPATH"):
        return " (SLURMCONFIGPATH names it)"
    return ": name yours with --config FILE or in SLURMCONFIGPATH"


def _read(path: Path, hint: str) -> Document:
    try:
        document = read_yaml(path.read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        raise _unusable(path, f"does not exist{hint}") from error
    except OSError as error:
        raise _unusable(path, f"cannot be read{hint}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unusable(path, "is not UTF-8 text") from error
    except NotYaml as error:
        raise _unusable(path, f"is not YAML: {error}", error.line) from error
    if document.value in (None, "", {}):
        raise _unusable(path, "is empty: examples/config/SlurmConfig.yaml shows what belongs into it")
    if not isinstance(document.value, dict):
        raise _unusable(path, "must be a block of keys, such as `SidecarPort: 4000`")
    return document


def _unusable(path: Path, message: str, line: int | None = None) -> ConfigError:
    return ConfigError(str(path), [Problem("", message, line)])
