"""StrictModes for local files: keys, tokens and configuration that other accounts of this machine can change.

As in sshd: the file, its folder and all folders above must belong to root or to the account that runs
this process, and no other account may write to them, except to a folder with the sticky bit. Exceptions for containers:

- A mounted Secret belongs to root, with links and mode 0644. A volume with an fsGroup belongs to root, and the group
  can write to it. So a group may write if root has put this process into it, or if it has no other member.
- With `docker run --volume` a file keeps an owner who is no account of the container, and an emptyDir has mode 0777.
  In a container, owners and folders do not count.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

_KUBERNETES = "KUBERNETES_SERVICE_HOST"
# Docker and Podman make one of these files in each container
_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def unsafe_file(path: Path, *, in_container: bool | None = None) -> str:
    """Return which other accounts can change or replace the file, and the command that corrects it; empty if none can.

    `in_container` says whether this process runs in a container; None: find out. Raises OSError if the file cannot be
    found.
    """
    contained = is_container() if in_container is None else in_container
    real = path.resolve(strict=True)
    if real.is_char_device():  # /dev/null keeps nothing of what is written to it
        return ""
    return (
        _of(real, in_container=contained)
        or unsafe_folder(real.parent, in_container=contained)
        or unsafe_folder(path.absolute().parent, in_container=contained)
    )


def unsafe_folder(path: Path, *, in_container: bool | None = None) -> str:
    """Return which other accounts can change the folder; see `unsafe_file`.

    In a folder with the sticky bit, only the owner of a file can replace it.
    """
    if is_container() if in_container is None else in_container:
        return ""
    folders = (path.absolute(), *path.absolute().parents, *path.resolve().parents)
    return next(filter(None, (_of(folder, in_container=False) for folder in folders)), "")


def readable_key(path: Path, *, in_container: bool | None = None) -> str:
    """Return that other accounts can read the private key, and what to do; empty if none can, or in a container.

    Mounted Secrets have the mode 0644. Raises OSError if the file cannot be found.
    """
    if is_container() if in_container is None else in_container:
        return ""
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    by_group = mode & stat.S_IRGRP and not _is_own_group(found)
    if not by_group and not mode & stat.S_IROTH:
        return ""
    return f"other accounts can read {path} (mode {mode:04o}), and ssh refuses such a key: chmod 600 {path}"


def is_container(marks: Iterable[Path] = _MARKS) -> bool:
    """Whether this process runs in a container, where there is no other account."""
    return _KUBERNETES in os.environ or any(mark.exists() for mark in marks)


def _of(path: Path, *, in_container: bool) -> str:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in {0, os.geteuid()} and not in_container:
        return f"{path} belongs to {_user(found.st_uid)}: chown {_user(os.geteuid())} {path}"
    if stat.S_ISDIR(found.st_mode) and mode & stat.S_ISVTX:
        return ""
    if mode & stat.S_IWOTH:
        return f"every account can write to {path} (mode {mode:04o}): chmod go-w {path}"
    if mode & stat.S_IWGRP and not _is_own_group(found):
        return f"the group {_name(found.st_gid)} can write to {path} (mode {mode:04o}): chmod g-w {path}"
    return ""


def _is_own_group(found: os.stat_result) -> bool:
    """Whether the group has no other members, or is one that root has given to this process."""
    if found.st_uid == 0 and found.st_gid in {os.getegid(), *os.getgroups()}:
        return True
    try:
        members = {pwd.getpwnam(name).pw_uid for name in grp.getgrgid(found.st_gid).gr_mem}
    except KeyError:
        members = set()
    primary = {each.pw_uid for each in pwd.getpwall() if each.pw_gid == found.st_gid}
    return not (members | primary) - {0, os.geteuid(), found.st_uid}


def _name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
