"""What is sent to the site: the folders of pods as archives, and the scripts that pods share, each once."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256

from remote_slurm.domain.plan.job_array import ArrayTask
from remote_slurm.domain.plan.projections import File, folders_above
from remote_slurm.errors import InvalidRequest

_SCRIPT_MODE = 0o600
# Measured with the files of pods: 3% more bytes than level 6, in two thirds of its time
_LEVEL = 4
# zlib writes the header of gzip, without a time
_GZIP = 31
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Payload:
    """The folder of `pod` as an archive. `scripts` are those that its job shares with other pods, by their names.

    An empty payload only asks for the outcome of a submission.

    `digests` are the SHA-256 sums of the pod's own scripts, by name, for the audit log. `task` is set if the pod may
    be a task of a job array. `pulls`: images are pulled before the job is submitted. `sets_chdir`: the pod's flags set
    the working folder of its job.
    """

    pod: str = ""
    archive: bytes = b""
    scripts: Mapping[str, bytes] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    task: ArrayTask | None = None
    pulls: bool = False
    sets_chdir: bool = False

    def __len__(self) -> int:
        return len(self.archive)

    def question(self) -> Payload:
        """The same without files, which are at the site."""
        return Payload(self.pod, task=self.task)

    def after_refusal(self, tasks: int) -> Payload:
        """The same after Slurm refused an array of so many tasks, of which the pod is one."""
        return replace(self, task=self.task.after_refusal(tasks) if self.task else None)

    @property
    def library(self) -> str:
        """The name of the folder at the site that has the scripts; empty if there are none."""
        return library_name(self.scripts) if self.scripts else ""


def script_files(scripts: Mapping[str, bytes]) -> list[File]:
    """The scripts as files of a pod's folder."""
    return [File(name, text, _SCRIPT_MODE) for name, text in scripts.items()]


def together(payloads: Iterable[Payload], libraries: Collection[str] = ()) -> bytes:
    """Return one archive of all pods, for `tar -xz`. It begins with the folder `lib`, which has these libraries."""
    payloads = list(payloads)
    scripts = {each.library: each.scripts for each in payloads if each.library in libraries}
    parts = (_of_scripts(f"lib/{library}", tuple(each.items())) for library, each in scripts.items())
    return b"".join((*parts, *(each.archive for each in payloads)))


def library_name(scripts: Mapping[str, bytes]) -> str:
    """Return the SHA-256 sum of the scripts in the order of their names, as `cat *.sh | sha256sum` prints it."""
    return _sum(tuple(text for _, text in sorted(scripts.items())))


@lru_cache(maxsize=64)  # jobs need the same few combinations
def _sum(texts: tuple[bytes, ...]) -> str:
    return sha256(b"".join(texts)).hexdigest()


def library_sums(library: str, scripts: Mapping[str, bytes]) -> str:
    """Return what `sha256sum LIBRARY/*.sh` prints if the scripts are there."""
    return "\n".join(f"{_sum((text,))}  {library}/{name}" for name, text in sorted(scripts.items()))


def archive(pod: str, files: Iterable[File]) -> bytes:
    """A gzipped tar of the pod's folder, which umask 077 makes private; the same files give the same bytes.

    Several such archives, one after another, are one for `tar -xz`: none has the blocks of zeros that end an archive,
    at which BusyBox's tar would stop, since it has no `-i`.
    """
    return _archive(_with_folders((replace(file, path=f"{pod}/{file.path}") for file in files), {pod}))


@lru_cache(maxsize=64)
def _of_scripts(folder: str, scripts: tuple[tuple[str, bytes], ...]) -> bytes:
    return _archive(_with_folders(File(f"{folder}/{name}", text, _SCRIPT_MODE) for name, text in scripts))


def _archive(files: Iterable[File]) -> bytes:
    return _compressed(piece for file in files for piece in (_header(file), *_blocks(file.content or b"")))


def _blocks(content: bytes) -> Iterator[bytes]:
    """The content in pieces, filled up to whole blocks of the archive."""
    for start in range(0, len(content), _PIECE_BYTES):
        yield content[start : start + _PIECE_BYTES]
    yield bytes(-len(content) % tarfile.BLOCKSIZE)


def _compressed(pieces: Iterable[bytes]) -> bytes:
    """Piece by piece: large objects would be copied while the event loop waits."""
    packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
    return b"".join((*map(packer.compress, pieces), packer.flush()))


def _with_folders(files: Iterable[File], known: Collection[str] = ()) -> Iterator[File]:
    """Yield the files, each folder before the first file in it: without it, tar first tries to make the file.

    The `known` folders are left out: the submit script may have made them.

    Raises InvalidRequest if a path is both a file and a folder.
    """
    folders = set(known)
    names: set[str] = set()
    for file in files:
        below_it = [f"{file.path}/"] if file.content is None else []
        for folder in folders_above([file.path, *below_it], folders):
            _refuse_both(folder, names)
            yield File(folder, None, 0o700)
        if file.content is not None:
            _refuse_both(file.path, folders)
            names.add(file.path)
            yield file


def _refuse_both(path: str, others: set[str]) -> None:
    """tar at the site could not unpack it, and the create would be sent again until its time is over."""
    if path in others:
        shown = path.partition("/")[2]
        raise InvalidRequest(
            f"the volumes of the pod have a file and a folder of the same path, {shown[-200:]}: rename one"
        )


def _header(file: File) -> bytes:
    """Return what tarfile makes of it in GNU's format, in a sixth of its time: a pod has dozens of files."""
    is_folder = file.content is None
    path = file.path.encode() + (b"/" if is_folder else b"")
    if len(path) > tarfile.LENGTH_NAME:
        return _long_header(file)
    kind = (tarfile.DIRTYPE if is_folder else tarfile.REGTYPE) + bytes(tarfile.LENGTH_LINK) + tarfile.GNU_MAGIC
    # mode, owner, group, size and time
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (file.mode, 0, 0, len(file.content or b""), 0)
    checksum = sum(path) + sum(numbers) + sum(kind) + 8 * ord(" ")
    header = path.ljust(tarfile.LENGTH_NAME, b"\0") + numbers + b"%06o\0 " % checksum + kind
    return header.ljust(tarfile.BLOCKSIZE, b"\0")


def _long_header(file: File) -> bytes:
    member = tarfile.TarInfo(file.path)
    member.mode = file.mode
    member.type = tarfile.DIRTYPE if file.content is None else tarfile.REGTYPE
    member.size = len(file.content or b"")
    return member.tobuf(tarfile.GNU_FORMAT, encoding="utf-8")
