"""Commands as other systems have them, in front of those of this machine: BusyBox, uutils, toybox, and as in BSD."""

import os
import shutil
import subprocess
from pathlib import Path

# Puts its own commands before those of PATH; scripts/tools brings it
STANDALONE = Path(__file__).parents[1] / ".venv" / "tools" / "busybox"

# What GNU has and BSD has not: `head` reads ahead there, too
_NOT_IN_BSD = {
    "dd": "*iflag=*",
    "find": "*-printf*",
    "mv": "*' -t '*",
    "tail": "*--pid*",
}
_STAT = f"{shutil.which('stat')} -c '%n %Y'"  # for -f '%N %m'
TOOLBOXES = ("busybox", "uutils", "toybox", "bsd")


def shell_in(toolbox: str) -> list[str]:
    """The shell that goes with it."""
    return [str(STANDALONE), "sh"] if toolbox == "busybox" else ["dash"]


def path_of(toolbox: str, folder: Path) -> str:
    """PATH with these commands first, as links or scripts in a folder of their own."""
    folder.mkdir()
    if toolbox == "uutils":
        listed = subprocess.check_output(["coreutils", "--help"], text=True).partition("defined functions:")[2]
        _link(folder, "coreutils", listed.replace(",", " ").split())
    elif toolbox == "toybox":
        names = subprocess.check_output(["toybox"], text=True).split()
        _link(folder, "toybox", [name for name in names if name not in ("sh", "bash")])
    elif toolbox == "bsd":
        _link(folder, "toybox", ["head"])
        (folder / "stat").write_text(f'#!/bin/sh\n[ "$1" = -f ] || exit 64\nshift 2\nexec {_STAT} "$@"\n')
        (folder / "stat").chmod(0o755)
        for name, pattern in _NOT_IN_BSD.items():
            refusal = f"case \" $* \" in {pattern}) echo '{name}: illegal option' >&2; exit 64 ;; esac"
            (folder / name).write_text(f'#!/bin/sh\n{refusal}\nexec {shutil.which(name)} "$@"\n')
            (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def _link(folder: Path, command: str, names: list[str]) -> None:
    for name in names:
        (folder / name).symlink_to(shutil.which(command) or command)
