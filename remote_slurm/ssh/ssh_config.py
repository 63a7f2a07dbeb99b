"""ConfigFile: an ssh_config(5) with its Include lines, and what of it is used here."""

import getpass
import os
import shlex
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import Any

import paramiko

from remote_slurm.config import SSH
from remote_slurm.config.algorithms import Kind, usable
from remote_slurm.errors import Unreachable

_DEEPEST = 16  # as OpenSSH
# Keywords that would change how a host is reached or verified, and are not used here
_UNUSED = frozenset(
    {
        "addressfamily",
        "bindaddress",
        "bindinterface",
        "casignaturealgorithms",
        "certificatefile",
        "connecttimeout",
        "globalknownhostsfile",
        "identityagent",
        "knownhostscommand",
        "pkcs11provider",
        "pubkeyacceptedalgorithms",
        "rekeylimit",
        "requiredrsasize",
        "securitykeyprovider",
        "serveraliveinterval",
        "userknownhostsfile",
    }
)
# Leaving these out would be wrong, and what to do instead
_REFUSED = {
    "ProxyCommand": "ProxyJump does the same",
    "RevokedHostKeys": "mark these keys as @revoked in SSH.UserKnownHostsFile",
}


def read(path: Path | None) -> paramiko.SSHConfig:
    """The file at `path`; an empty one for None. Raises Unreachable if it cannot be used."""
    _name_the_own_account()
    try:
        return paramiko.SSHConfig.from_text("\n".join(_lines(path, 0))) if path else paramiko.SSHConfig()
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise Unreachable(f"ConfigFile {path} cannot be used: {error}") from error


def _name_the_own_account() -> None:
    """Paramiko wants its name for each lookup, and containers may run with an id that has none, as on OpenShift."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the latter since Python 3.13
        os.environ["LOGNAME"] = str(os.getuid())


def _lines(path: Path, depth: int) -> Iterator[str]:
    """The lines of a file, with those of included files in their place (a relative path starts at its folder)."""
    if depth > _DEEPEST:
        raise ValueError(f"Include is nested more than {_DEEPEST} deep at {path}")
    block = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        keyword, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if keyword.lower() in ("host", "match"):
            block = line
        if keyword.lower() != "include":
            yield line
            continue
        for pattern in shlex.split(rest):
            absolute = path.parent / Path(pattern).expanduser()
            for included in sorted(glob(str(absolute))):  # noqa: PTH207 - Path.glob takes no absolute pattern
                yield from _included(Path(included), block, depth + 1)
                yield block or "Host *"


def _included(path: Path, block: str, depth: int) -> Iterator[str]:
    for line in _lines(path, depth):
        if block and line.split()[:1] and line.split()[0].lower() in ("host", "match"):
            raise ValueError(
                f"{path} has a Host or Match block of its own, and is included inside of `{block.strip()}`: include it "
                "before the first Host or Match line"
            )
        yield line


def algorithms(options: Mapping[str, Any], kind: Kind) -> tuple[str, ...]:
    """Those that the file names for a host, as far as they are available; empty if it names none."""
    text = options.get(kind.keyword.lower(), "")
    try:
        return usable(kind, text) if text else ()
    except ValueError as error:
        raise Unreachable(f"ConfigFile: {kind.keyword} {error}") from error


def refuse_what_must_not_be_left_out(options: Mapping[str, Any], settings: SSH, host: str) -> None:
    """Raise Unreachable for keywords without which another host would be reached, or a wrong one be trusted."""
    for keyword, instead in _REFUSED.items():
        if options.get(keyword.lower(), "none") not in (None, "none"):
            raise Unreachable(
                f"ConfigFile {settings.config_file} has a {keyword} for {host}, which is not supported: {instead}"
            )


def unused(options: Mapping[str, Any], settings: SSH, host: str) -> str:
    """A sentence that names the settings of a host in the file without effect here; empty if there are none."""
    names = [name for name in options if name in _UNUSED]
    if options.get("user", settings.user) != settings.user:
        names.append("user")
    if options.get("stricthostkeychecking", "yes") not in ("yes", "ask"):
        names.append("stricthostkeychecking")
    if settings.identities_only and "identityfile" in options:
        names.append("identityfile")
    if not names:
        return ""
    return (
        f"ConfigFile {settings.config_file} has {', '.join(sorted(names))} for {host}, which has no effect: only "
        "keys of the block SSH set it"
    )
