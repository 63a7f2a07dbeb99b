"""Read SlurmConfig.yaml, from the first byte to a `Config` or the list of all its problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from remote_slurm.config.host_defaults import Machine, default_state_folder, home_folder
from remote_slurm.config.layers import Layers
from remote_slurm.config.model import Config
from remote_slurm.config.yaml_file import no_problems, read_document, validated
from remote_slurm.errors import Problem

DEFAULT_PATH = Path("/etc/interlink/SlurmConfig.yaml")
_EXAMPLE = "examples/config/SlurmConfig.yaml has all keys"

Check = Callable[[Config], Iterable[Problem]]


def load_config(
    path: Path | None, environ: Mapping[str, str], overrides: Sequence[str] = (), check: Check = no_problems
) -> Config:
    """Load the file at path, else at SLURMCONFIGPATH, else at /etc/interlink/SlurmConfig.yaml.

    The environment overrides the file, and overrides (`KEY=VALUE`, from `--set`) override both. Relative local paths
    start at the file's folder, wherever they are given. `check` finds further problems in a configuration whose values
    are valid. Raises ConfigError with every problem at once.
    """
    path, hint = config_path(path, environ), _hint(path, environ)
    layers = Layers()
    layers.lay_file(read_document(path, hint=hint, example=_EXAMPLE))
    layers.lay_environment(environ)
    layers.lay_overrides(overrides)
    machine = Machine(path.absolute().parent, home_folder(environ), default_state_folder(environ))
    return validated(path, layers, Config, machine, check)


def config_path(path: Path | None, environ: Mapping[str, str]) -> Path:
    """Return `path`, or the file to read if none is given."""
    return path or Path(environ.get("SLURMCONFIGPATH") or DEFAULT_PATH)


def _hint(path: Path | None, environ: Mapping[str, str]) -> str:
    if path is not None:
        return ""
    if environ.get("SLURMCONFIGPATH"):
        return " (SLURMCONFIGPATH names it)"
    return ": name yours with --config FILE or in SLURMCONFIGPATH"
