"""Defaults that depend on the machine of the sidecar."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Machine(NamedTuple):
    """The context in which values are validated."""

    folder: Path
    """The folder of the configuration file: relative local paths start here."""
    home: Path
    """What `~` means in a local path."""
    state_folder: Path
    """Default of StateFolder."""


def home_folder(environ: Mapping[str, str]) -> Path:
    """Find the home directory; accounts without one, as in containers, live in /."""
    if environ.get("HOME"):
        return Path(environ["HOME"])
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def default_state_folder(environ: Mapping[str, str], *, root: bool | None = None) -> Path:
    """Choose the folder for our own files: the XDG base directory, or where system services keep theirs."""
    xdg = environ.get("XDG_STATE_HOME", "")
    if xdg.startswith("/"):  # the XDG specification says to ignore relative ones
        return Path(xdg) / "remote-slurm"
    if os.geteuid() == 0 if root is None else root:
        return Path("/var/lib/remote-slurm")
    return home_folder(environ) / ".local/state/remote-slurm"
