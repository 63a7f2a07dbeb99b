"""Unpack an archive that a container has made: nothing is written outside of the target, whatever the archive contains.

Each folder is opened from the one above it without following links, and what is in the way of a file is removed first,
so that neither names nor links of the archive lead elsewhere, nor links that are there already.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from remote_slurm.errors import RemoteSlurmError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o777  # no set-user-ID


class HostileArchive(RemoteSlurmError):
    """The archive has a member that is not part of what was asked for."""


def unpack(archive: IO[bytes], name: str, target: Path, warn: Callable[[str], None]) -> int:
    """Write the member `name` of the archive, and what is below it, to `target`. Return the number of members
    that were written.

    Links and special files are left out with a warning, as `kubectl cp` does. Raises HostileArchive, and
    RemoteSlurmError for an archive that is damaged, or if a file cannot be written.
    """
    count, noted = 0, _Counted(archive)
    try:
        with tarfile.open(fileobj=cast(IO[bytes], noted), mode="r|") as members:
            for member in members:
                parts = _parts_below(member.name, name)
                count += _unpack_one(members, member, parts, target, warn)
    except tarfile.ReadError as error:
        if noted.size:  # a container without tar sends none
            raise RemoteSlurmError(f"the archive from the container is damaged: {error}") from error
    except (tarfile.TarError, EOFError) as error:
        raise RemoteSlurmError(f"the archive from the container is damaged: {error}") from error
    return count


class _Counted:
    """A file that is read once, and how much of it was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.size += len(data)
        return data


def _parts_below(member: str, name: str) -> list[str]:
    """The path of a member below `name`; empty for `name` itself. Raises HostileArchive for any other member."""
    path = posixpath.normpath(member)
    parts = [] if path == "." else path.split("/")
    wanted = [] if name == "." else [name]
    if path.startswith("/") or ".." in member.split("/") or parts[: len(wanted)] != wanted or "\0" in member:
        raise HostileArchive(
            f"the archive from the container has {member!r}, which is not below {name!r}: nothing of it"
        )
    return parts[len(wanted) :]


def _unpack_one(
    members: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str], target: Path, warn: Callable[[str], None]
) -> bool:
    """Whether it was written."""
    if member.issym() or member.islnk():
        warn(f"skipping link: {member.name!r} -> {member.linkname!r}")
        return False
    if not (member.isdir() or member.isreg()):
        warn(f"skipping special file: {member.name!r}")
        return False
    content = members.extractfile(member) if member.isreg() else None
    try:
        if not parts:
            _write_top(target, member, content)
        else:
            _write_below(target, parts, member, content)
    except OSError as error:
        where = target.joinpath(*parts)
        raise RemoteSlurmError(f"cannot write {str(where)!r}: {error.strerror or error}") from error
    return True


def _write_top(target: Path, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
    """The target is the user's own choice: it may be a link."""
    if content is None:
        target.mkdir(parents=True, exist_ok=True)
    else:
        with os.fdopen(
            os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, member.mode & _MODE), "wb"
        ) as file:
            shutil.copyfileobj(content, file, 1 << 20)


def _write_below(target: Path, parts: list[str], member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
    folders = parts if content is None else parts[:-1]
    with contextlib.ExitStack() as stack:
        folder = _opened(stack, os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for name in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o777, dir_fd=folder)
            folder = _opened(stack, os.open(name, _FOLDER, dir_fd=folder))
        if content is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=folder)
            with os.fdopen(os.open(parts[-1], _NEW_FILE, member.mode & _MODE, dir_fd=folder), "wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)


def _opened(stack: contextlib.ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor
