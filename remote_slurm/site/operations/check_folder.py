"""Check whether DataRootFolder can be created and written, and what its file system allows."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class FolderCheck:
    """DataRootFolder at the site. `free_kib` is None if `df` does not print it; `messages` are printed by commands."""

    root: str
    messages: str
    free_kib: int | None
    is_written: bool
    is_out_of_space: bool
    has_symlinks: bool
    is_open: bool  # others can read or replace what is created there
    is_caseless: bool
    has_short_names: bool
    quota: tuple[str, ...]


def operation() -> Operation[FolderCheck]:
    """Write a file there, and look at the file system. Raises RemoteFailed if the folder cannot be created."""
    return Operation("check_folder", _checked, seconds=60)


def _checked(reply: Reply) -> FolderCheck:
    free = reply.require("free")
    return FolderCheck(
        root=reply.root,
        messages=reply.messages,
        free_kib=int(free) if free.isdigit() else None,
        is_written=reply.has("written"),
        is_out_of_space=free == "0" or reply.is_out_of_space,
        has_symlinks=not reply.has("nosymlinks"),
        is_open=reply.has("open"),
        is_caseless=reply.has("caseless"),
        has_short_names=reply.has("shortnames"),
        quota=tuple(" ".join(line.split()) for line in reply.all("quota")),
    )
