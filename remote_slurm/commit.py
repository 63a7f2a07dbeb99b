"""Which commit a program was made from: written into wheels when they are built, else asked of the checkout's git."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

FILE = "COMMIT"
VARIABLE = "REMOTE_SLURM_COMMIT"

_PACKAGE = Path(__file__).parent
# no tags: only the id, which names one state of the sources
_DESCRIBE = ("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


def commit() -> str:
    """The commit's short id, with -dirty if the checkout had changes; empty if it is unknown."""
    return recorded(_PACKAGE) or of_checkout(_PACKAGE.parent)


def recorded(package: Path) -> str:
    """The commit that is recorded in a wheel or an unpacked source distribution."""
    try:
        return (package / FILE).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def at_build(root: Path, environ: Mapping[str, str]) -> str:
    """The commit to record in a wheel: REMOTE_SLURM_COMMIT, which image builds without .git set, or git's."""
    return environ.get(VARIABLE, "") or of_checkout(root)


def of_checkout(root: Path) -> str:
    if not (root / ".git").exists():
        return ""  # not of another repository that contains the package
    try:
        described = subprocess.run(["git", "-C", root, *_DESCRIBE], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""  # no git, or a checkout of another account
    return described.stdout.strip()
