"""The headers of the archives that carry pods are those that tarfile writes."""

import tarfile
import zlib

import pytest

from remote_slurm.domain.plan.payload import archive
from remote_slurm.domain.plan.projections import File

POD = "ns-1"


def member(path: str, mode: int, size: int | None) -> bytes:
    info = tarfile.TarInfo(f"{POD}/{path}")
    info.mode, info.size = mode, size or 0
    info.type = tarfile.DIRTYPE if size is None else tarfile.REGTYPE
    return info.tobuf(tarfile.GNU_FORMAT, encoding="utf-8")


@pytest.mark.parametrize("length", [1, 50, 94, 95, 96, 200])
@pytest.mark.parametrize("letter", ["x", "é"])
@pytest.mark.parametrize(("mode", "size"), [(0o600, 0), (0o700, 513), (0o444, 1_000_000), (0o700, None)])
def test_headers_are_those_of_tarfile(length: int, letter: str, mode: int, size: int | None) -> None:
    path = letter * length
    packed = archive(POD, [File(path, None if size is None else bytes(size), mode)])
    header = member(path, mode, size)
    assert zlib.decompress(packed, wbits=31)[: len(header)] == header
