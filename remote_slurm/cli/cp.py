"""`remote-slurm cp`: files and folders to and from a container, by tar in the container."""

from __future__ import annotations

import argparse
import asyncio
import os
import posixpath
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from remote_slurm.cli.exec import add_pod_options, client, pod_of, write_all
from remote_slurm.cli.exec_client import ExecClient, Wanted
from remote_slurm.cli.unpacking import unpack
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.ssh.threads import in_thread

_HELP = """\
Copy a file or folder from a container of a running pod, or to it, as `kubectl cp` does. One of SOURCE and TARGET is
POD:PATH, the other one a local path. The image must have tar. Links are not followed: those in a container are left
out.

POD is NAMESPACE/NAME, NAMESPACE/UID, or a name in --namespace. The sidecar needs EnableExec: true.
"""

_EXAMPLES = """\
examples:
  remote-slurm cp --config SlurmConfig.yaml default/train:/data/model.pt model.pt
  remote-slurm cp --config SlurmConfig.yaml default/train:/data/results .             becomes ./results
  remote-slurm cp --config SlurmConfig.yaml ./input default/train:/data -c main       becomes /data/input
"""

_READ = 1 << 20
_NO_PROGRAM = {126, 127}
_NO_TAR = "the container has no tar, which cp needs: use an image with tar, or `remote-slurm exec` with another program"


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _HELP, _EXAMPLES
    parser.add_argument("source", metavar="SOURCE", help="path here, or POD:PATH")
    parser.add_argument("target", metavar="TARGET", help="path here, or POD:PATH")
    parser.add_argument(
        "--no-preserve", action="store_true", help="do not keep modes and owners of files that are copied to a pod"
    )
    add_pod_options(parser)


@dataclass(frozen=True, slots=True)
class PodPath:
    """A path in a container."""

    namespace: str
    pod: str
    container: str
    path: str

    def command(self, *words: str, stdin: bool = False) -> Wanted:
        """A command in the container."""
        return Wanted(self.namespace, self.pod, self.container, words, stdin=stdin)


def run(arguments: argparse.Namespace) -> int:
    if not (arguments.source and arguments.target):
        raise RemoteSlurmError("SOURCE and TARGET must not be empty: use . for this folder")
    source, target = _of_pod(arguments, arguments.source), _of_pod(arguments, arguments.target)
    if (source is None) == (target is None):
        raise RemoteSlurmError("one of SOURCE and TARGET must be POD:PATH, and the other one a local path")
    if source is not None:
        folder, name = _split(source.path)
        asyncio.run(_download(arguments, source, folder, name, _target(source.path, name, Path(arguments.target))))
    elif target is not None:
        path = Path(arguments.source)
        if not path.exists():
            raise RemoteSlurmError(f"{arguments.source!r} does not exist here")
        asyncio.run(_upload(arguments, path, path.resolve().name, target))
    return 0


def _of_pod(arguments: argparse.Namespace, text: str) -> PodPath | None:
    """The path in a pod; None for a path here. As for kubectl, ./a:b is a path here."""
    named, colon, path = text.partition(":")
    if not colon or named.startswith((".", "/")):
        return None
    if not named or not path:
        raise RemoteSlurmError(f"invalid argument {text!r}: must be POD:PATH, such as default/train:/data/model.pt")
    namespace, pod = pod_of(named, arguments.namespace)
    return PodPath(namespace, pod, arguments.container, path)


# --- from the container ---


def _split(path: str) -> tuple[str, str]:
    """The folder of a path in the container, and its name there: `.` for the folder itself, which has no name."""
    path = posixpath.normpath(path)
    folder, name = posixpath.split(path)
    return (path, ".") if name in {"", ".."} or path == "." else (folder, name)


def _target(source: str, name: str, target: Path) -> Path:
    """Where it is to be written. Raises RemoteSlurmError if there is no such folder."""
    if target.is_dir():
        return target if name == "." else target / name
    if name == ".":
        raise RemoteSlurmError(f"{str(target)!r} must be a folder: {source!r} has no name of its own")
    if not target.parent.is_dir():
        raise RemoteSlurmError(f"there is no folder {str(target.parent)!r} to write to")
    return target


async def _download(arguments: argparse.Namespace, source: PodPath, folder: str, name: str, target: Path) -> None:
    wanted = source.command("tar", "cf", "-", "-C", folder or ".", f"./{name}" if name != "." else ".")
    async with client(arguments) as sidecar:
        code, count = await _unpacked(sidecar, wanted, name, target)
    if code in _NO_PROGRAM and not count:
        raise RemoteSlurmError(_NO_TAR)
    if code:
        raise RemoteSlurmError(f"tar in the container ended with exit code {code}: {count} files were copied")
    if not count:
        raise RemoteSlurmError(f"nothing was copied: {source.path!r} in the container is neither a file nor a folder")


async def _unpacked(sidecar: ExecClient, wanted: Wanted, name: str, target: Path) -> tuple[int, int]:
    """The exit code of tar, and how many members were written."""
    reading, writing = os.pipe()
    streams = _Archive(writing)
    with os.fdopen(reading, "rb", buffering=_READ) as archive:
        unpacking = asyncio.ensure_future(in_thread("unpack", _unpack_all, archive, name, target))
        try:
            async with sidecar.running(wanted) as running:
                copying = asyncio.ensure_future(running.run(streams))
                await asyncio.wait({copying, unpacking}, return_when=asyncio.FIRST_COMPLETED)
                if unpacking.done() and unpacking.exception() is not None:
                    copying.cancel()
                    await asyncio.gather(copying, return_exceptions=True)
                    unpacking.result()
                code = await copying
        finally:
            streams.close()
            await asyncio.wait({unpacking})
        return code, unpacking.result()


def _unpack_all(archive: IO[bytes], name: str, target: Path) -> int:
    try:
        return unpack(archive, name, target, lambda sentence: print(f"warning: {sentence}", file=sys.stderr))
    finally:
        archive.close()  # what writes to it gets EPIPE


class _Archive:
    """Standard output of tar goes into a pipe; its errors are shown."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    async def read_input(self) -> bytes:
        return b""

    async def write_output(self, data: bytes) -> None:
        if self._descriptor is None:
            return
        try:
            await in_thread("unpack-write", write_all, self._descriptor, data)
        except BrokenPipeError:
            self.close()  # what comes after the end of an archive, or after a file that cannot be written

    async def write_error(self, data: bytes) -> None:
        await in_thread("stderr", write_all, 2, data)

    def close(self) -> None:
        """Nothing more comes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


# --- to the container ---


async def _upload(arguments: argparse.Namespace, source: Path, own_name: str, target: PodPath) -> None:
    async with client(arguments) as sidecar:
        path = posixpath.normpath(target.path)
        if await _run_quietly(sidecar, target.command("test", "-d", path)) == 0:
            path = posixpath.join(path, own_name)
        elif target.path.endswith("/"):
            raise RemoteSlurmError(f"there is no folder {target.path!r} in the container")
        folder, name = posixpath.split(path)
        options = ["--no-same-permissions", "--no-same-owner"] if arguments.no_preserve else []
        wanted = target.command("tar", "xmf", "-", *options, "-C", folder or ".", stdin=True)
        reading, writing = os.pipe()
        streams = _Packed(reading)
        packing = asyncio.ensure_future(in_thread("pack", _pack, writing, source, name))
        try:
            async with sidecar.running(wanted) as running:
                code = await running.run(streams)
        finally:
            os.close(reading)
            await asyncio.wait({packing})
    if code in _NO_PROGRAM:
        raise RemoteSlurmError(_NO_TAR)
    if code:
        raise RemoteSlurmError(f"tar in the container ended with exit code {code}")
    packing.result()


async def _run_quietly(sidecar: ExecClient, wanted: Wanted) -> int:
    async with sidecar.running(wanted) as running:
        return await running.run(_Quiet())


class _Quiet:
    """Nothing is read, and nothing is shown."""

    async def read_input(self) -> bytes:
        return b""

    async def write_output(self, data: bytes) -> None:
        pass

    async def write_error(self, data: bytes) -> None:
        pass


class _Packed(_Quiet):
    """Standard input of tar comes from a pipe; what it prints is shown."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def read_input(self) -> bytes:
        return await in_thread("pack-read", os.read, self._descriptor, _READ)

    async def write_error(self, data: bytes) -> None:
        await in_thread("stderr", write_all, 2, data)


def _pack(descriptor: int, source: Path, name: str) -> None:
    """Write the archive into the pipe. Raises RemoteSlurmError for what cannot be read."""
    try:
        with os.fdopen(descriptor, "wb", buffering=_READ) as file, tarfile.open(fileobj=file, mode="w|") as archive:
            archive.add(source, arcname=name, filter=_without_owner)
    except BrokenPipeError:
        pass  # the command has ended: its exit code says more
    except OSError as error:
        raise RemoteSlurmError(f"cannot read {str(error.filename or source)!r}: {error.strerror}") from error


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Accounts differ between here and the container."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
