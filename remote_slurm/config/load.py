"""Read SlurmConfig.yaml, from the first byte to a `Config` or the list of all its problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from remote_slurm.config.host_defaults import Machine, default_state_folder, home_folder
from remote_slurm.config.layers import Layers
from remote_slurm.config.model import Config
from remote_slurm.config.yaml_file import no_problems, read_document, validated
from remote_slurm.errors import Problem

# The first is ours, the second that of the reference plugin
PATH_VARIABLES = ("REMOTE_SLURM_CONFIG", "SLURMCONFIGPATH")
DEFAULT_PATH = Path("/etc/interlink/SlurmConfig.yaml")
_EXAMPLE = "`remote-slurm config example` prints all keys"

# Checked in place of a block SSH that is wrong
_REQUIRED = {"SSH": {"HostName": "host.invalid", "User": "user", "IdentityFile": "/key"}}

Check = Callable[[Config], Iterable[Problem]]


def load_config(
    path: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = (), check: Check = no_problems
) -> Config:
    """Load the file at path, else at REMOTE_SLURM_CONFIG or SLURMCONFIGPATH, else /etc/interlink/SlurmConfig.yaml.

    The environment overrides the file, and overrides (`KEY=VALUE`, from `--set`) override both. Relative local paths
    start at the file's folder, wherever they are given. `check` finds further problems in the values that are valid.
    Raises ConfigError with every problem at once.
    """
    layers = load_layers(path, environ, overrides)
    return validated_config(config_path(path, environ), layers, environ, check)


def load_layers(path: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = ()) -> Layers:
    """Read the values of `load_config`, each with its origin. Raises ConfigError if the file cannot be read."""
    layers = Layers()
    layers.lay_file(read_document(config_path(path, environ), hint=_hint(path, environ), example=_EXAMPLE))
    layers.lay_environment(environ)
    layers.lay_overrides(overrides)
    return layers


def validated_config(path: Path, layers: Layers, environ: Mapping[str, str], check: Check = no_problems) -> Config:
    """Validate the values of `load_layers`; `path` is their file. Raises ConfigError with every problem at once."""
    machine = Machine(path.absolute().parent, home_folder(environ), default_state_folder(environ))
    return validated(path, layers, Config, machine, check, _REQUIRED)


def config_path(path: Path | None, environ: Mapping[str, str]) -> Path:
    """Return `path`, or the file to read if none is given."""
    named = (environ[variable] for variable in PATH_VARIABLES if environ.get(variable))
    return path or Path(next(named, DEFAULT_PATH))


def _hint(path: Path | None, environ: Mapping[str, str]) -> str:
    if path is not None:
        return ""
    for variable in PATH_VARIABLES:
        if environ.get(variable):
            return f" ({variable} names it)"
    return f": name yours with --config FILE or in {' or '.join(PATH_VARIABLES)}"
