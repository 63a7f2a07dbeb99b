"""`slow_folder.py PID STORE MOUNT MS`: a folder as on a busy parallel file system, whose metadata takes a while.

In the mount namespace of process PID, the folder MOUNT has the files of the folder STORE. Each operation that a
metadata server would answer takes MS milliseconds longer; reading and writing do not. Requires root and libfuse 3.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import mfusepy

_STAT = ("st_mode", "st_nlink", "st_size", "st_uid", "st_gid", "st_ino", "st_blocks")
_STATVFS = (
    "f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize", "f_namemax",
)  # fmt: skip
# linux/sched.h
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000


class SlowFolder(mfusepy.Operations):
    """Names and arguments of the methods are those of FUSE."""

    use_ns = True

    def __init__(self, store: str, seconds: float) -> None:
        self._store = store
        self._seconds = seconds

    def _slowly(self, path: str) -> str:
        """The path of the file in the store, after the time that a metadata server takes."""
        time.sleep(self._seconds)
        return self._store + path

    def _given(self, path: str) -> None:
        """A new file belongs to the process that has made it."""
        uid, gid, _ = mfusepy.fuse_get_context()
        os.chown(self._store + path, uid, gid, follow_symlinks=False)

    # --- what a metadata server answers ---

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        status = Path(self._slowly(path)).lstat()
        times = {"st_atime": status.st_atime_ns, "st_mtime": status.st_mtime_ns, "st_ctime": status.st_ctime_ns}
        return {name: getattr(status, name) for name in _STAT} | times

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(each.name for each in Path(self._slowly(path)).iterdir())]

    def readlink(self, path: str) -> str:
        return str(Path(self._slowly(path)).readlink())

    def mkdir(self, path: str, mode: int) -> None:
        Path(self._slowly(path)).mkdir(mode)
        self._given(path)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        number = os.open(self._slowly(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        self._given(path)
        return number

    def open(self, path: str, flags: int) -> int:
        return os.open(self._slowly(path), flags & ~os.O_APPEND)  # the kernel says where each write goes

    def mknod(self, path: str, mode: int, dev: int) -> None:
        os.mknod(self._slowly(path), mode, dev)
        self._given(path)

    def symlink(self, target: str, source: str) -> None:
        Path(self._slowly(target)).symlink_to(source)
        self._given(target)

    def link(self, target: str, source: str) -> None:
        Path(self._slowly(target)).hardlink_to(self._store + source)

    def rename(self, old: str, new: str) -> None:
        Path(self._slowly(old)).rename(self._store + new)

    def unlink(self, path: str) -> None:
        Path(self._slowly(path)).unlink()

    def rmdir(self, path: str) -> None:
        Path(self._slowly(path)).rmdir()

    def chmod(self, path: str, mode: int) -> None:
        Path(self._slowly(path)).chmod(mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self._slowly(path), uid, gid, follow_symlinks=False)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        os.utime(self._slowly(path), ns=times, follow_symlinks=False)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(self._slowly(path), length)

    # --- what a data server answers ---

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def flush(self, path: str, fh: int) -> None:
        """All that was written is in the store."""

    def fsync(self, path: str, datasync: bool, fh: int) -> None:  # noqa: FBT001 - FUSE's
        """All that was written is in the store."""

    def release(self, path: str, fh: int) -> None:
        os.close(fh)

    def statfs(self, path: str) -> dict[str, int]:
        status = os.statvfs(self._store + path)
        return {name: getattr(status, name) for name in _STATVFS}


def enter_mount_namespace(pid: str) -> None:
    """Python's own files are not there: all modules must be loaded before."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    if libc.unshare(_CLONE_FS) or libc.setns(number, _CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), f"cannot enter the mount namespace of process {pid}")
    os.chdir("/")


def main(pid: str, store: str, mount: str, ms: str) -> None:
    enter_mount_namespace(pid)
    os.umask(0)
    mfusepy.FUSE(
        SlowFolder(store, float(ms) / 1000),
        mount,
        foreground=True,
        allow_other=True,
        default_permissions=True,
        # what was there is remembered for a second, as clients of NFS do; what was not there is asked for again
        attr_timeout=1,
        entry_timeout=1,
        negative_timeout=0,
        fsname="slow",
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
