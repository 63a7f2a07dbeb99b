"""Look at a login node, before there is a configuration: commands, container runtimes, folders and accounts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply

_DEFAULT_BASH = "/bin/bash"
_NAME = re.compile(r"[^\W_][\w.@+-]{0,100}")  # of an account or a QOS


@dataclass(frozen=True, slots=True)
class SiteFolder:
    """A folder of the account. `name` is HOME, the variable that names it, or `path`; `free_kib` may be unknown."""

    name: str
    path: str
    free_kib: int | None
    file_system: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What the login node has.

    `commands` are Slurm's by name, with their path; `outside_path` are those that sessions do not find by their name.
    `runtimes` are (name, path); `modules` make a runtime available. `accounts` may be empty, if Slurm does not list
    them to the account, and `qos` likewise.
    """

    account: str
    host: str
    home: str
    commands: dict[str, str]
    outside_path: frozenset[str]
    runtimes: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]
    folders: tuple[SiteFolder, ...]
    accounts: tuple[str, ...]
    default_account: str
    qos: tuple[str, ...]


def operation(bash: str = _DEFAULT_BASH) -> Operation[Survey]:
    """Read what the login node has; `bash` reads the login profile."""
    return Operation("survey", _survey, {"bash": bash}, seconds=180)


def _survey(reply: Reply) -> Survey:
    reply.require("end")
    inside = dict(_pairs(reply, "command"))
    outside = dict(_pairs(reply, "elsewhere"))
    associations = [[*line.split("|"), "", ""][:3] for line in reply.all("association") if line.strip()]
    # sacctmgr may print a notice on standard output
    accounts = _names(account for account, _, _ in associations) or _names(reply.all("share"))
    qos = [name for _, _, names in associations for name in names.split(",")]
    return Survey(
        account=reply.get("account"),
        host=reply.get("host"),
        home=reply.get("home"),
        commands={**outside, **inside},
        outside_path=frozenset(set(outside) - set(inside)),
        runtimes=tuple(_pairs(reply, "runtime")),
        modules=tuple(reply.all("module")),
        folders=_unique(folder for line in reply.all("folder") if (folder := _folder(line))),
        accounts=accounts,
        default_account=reply.get("defaultaccount").strip(),
        qos=_names(qos),
    )


def _pairs(reply: Reply, word: str) -> list[tuple[str, str]]:
    return [(name, path) for name, _, path in (line.partition(" ") for line in reply.all(word)) if path]


def _folder(line: str) -> SiteFolder | None:
    name, free, file_system, path = [*line.split(" ", 3), "", "", "", ""][:4]
    if not path.startswith("/"):
        return None
    return SiteFolder(name, path.rstrip("/") or "/", int(free) if free.isdigit() else None, file_system)


def _unique(folders: Iterable[SiteFolder]) -> tuple[SiteFolder, ...]:
    """Each path once, by its first name."""
    found: dict[str, SiteFolder] = {}
    for folder in folders:
        found.setdefault(folder.path, folder)
    return tuple(found.values())


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once. A line of another kind, such as a notice, is no name."""
    return tuple(dict.fromkeys(name for each in names if _NAME.fullmatch(name := each.strip())))
