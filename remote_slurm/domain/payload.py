"""What travels to the site: the folders of pods as archives, and once the scripts that are the same in each."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePosixPath

from remote_slurm.domain.projections import File

_SCRIPT_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Payload:
    """The folder of `pod` as an archive, without `scripts`, which lie in it too, by name; an empty one asks only."""

    pod: str = ""
    archive: bytes = b""
    scripts: Mapping[str, bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.archive)

    def whole(self) -> Payload:
        """The same with its own copy of each script, for a site whose file system has no hard links."""
        copies = archive(self.pod, script_files(self.scripts)) if self.scripts else b""
        return Payload(self.pod, self.archive + copies)


def script_files(scripts: Mapping[str, bytes]) -> list[File]:
    """The scripts as files of a pod's folder."""
    return [File(name, text, _SCRIPT_MODE) for name, text in scripts.items()]


def together(payloads: Iterable[Payload]) -> bytes:
    """One archive of them all, for `tar -xzi`: each script lies in it once, and each pod has a hard link to it."""
    payloads = list(payloads)
    scripts = {name: text for each in payloads for name, text in each.scripts.items()}
    links = b"".join(_link(f"{each.pod}/{name}", name) for each in payloads for name in each.scripts)
    folders = b"".join(each.archive for each in payloads)
    return (_of_scripts(tuple(scripts.items())) + folders + _compressed(links)) if scripts else folders


def archive(pod: str, files: Iterable[File]) -> bytes:
    """A gzipped tar of the pod's folder, with private folders; the same files give the same bytes.

    Several such archives, one after another, are one: `tar -xzi`.
    """
    return _archive(_with_folders(replace(file, path=f"{pod}/{file.path}") for file in files))


@cache
def _of_scripts(scripts: tuple[tuple[str, bytes], ...]) -> bytes:
    return _archive(script_files(dict(scripts)))


def _archive(files: Iterable[File]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in files:
            tar.addfile(_member(file), io.BytesIO(file.content or b""))
    return _compressed(buffer.getvalue())


def _compressed(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=3, mtime=0)


def _with_folders(files: Iterable[File]) -> Iterator[File]:
    known: set[str] = set()
    for file in files:
        above = (str(parent) for parent in reversed(PurePosixPath(file.path).parents[:-1]))
        for folder in (*above, *([file.path] if file.content is None else [])):
            if folder not in known:
                known.add(folder)
                yield File(folder, None, 0o700)
        if file.content is not None:
            yield file


def _member(file: File) -> tarfile.TarInfo:
    member = tarfile.TarInfo(file.path)
    member.mode = file.mode
    member.type = tarfile.DIRTYPE if file.content is None else tarfile.REGTYPE
    member.size = len(file.content or b"")
    return member


def _link(path: str, to: str) -> bytes:
    member = tarfile.TarInfo(path)
    member.type = tarfile.LNKTYPE
    member.linkname = to
    return member.tobuf(tarfile.GNU_FORMAT)
