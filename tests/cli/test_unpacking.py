"""Archives that containers make: whatever is in them, nothing is written outside of the target."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from remote_slurm.cli.unpacking import HostileArchive, unpack
from remote_slurm.errors import RemoteSlurmError

Member = tuple[str, bytes | None, dict[str, object]]


def archive(*members: Member) -> io.BytesIO:
    """Each with its name, its content, or None for a folder, and fields."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content, fields in members:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size, info.mode = len(content or b""), 0o755 if content is None else 0o644
            for field, value in fields.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(content or b""))
    made.seek(0)
    return made


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return name, b"", {"type": kind, "linkname": to}


def unpacked(folder: Path, *members: Member, name: str = "data") -> list[str]:
    """The warnings."""
    warnings: list[str] = []
    unpack(archive(*members), name, folder / "target", warnings.append)
    return warnings


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_written_with_all_that_is_in_it(tmp_path: Path) -> None:
    unpacked(
        tmp_path,
        ("./data", None, {}),
        ("./data/a", b"1", {"mode": 0o6755}),
        ("./data/empty", None, {}),
        ("./data/deep/er/b", b"2", {}),
        ("./data/-n \n *", b"3", {}),
    )
    assert written(tmp_path) == {"target/a": b"1", "target/deep/er/b": b"2", "target/-n \n *": b"3"}
    assert (tmp_path / "target/empty").is_dir()
    assert (tmp_path / "target/a").stat().st_mode & 0o7777 == 0o755 & ~_umask()


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_a_file_is_written_to_the_target_itself(tmp_path: Path) -> None:
    unpacked(tmp_path, ("./data", b"content", {}))
    assert written(tmp_path) == {"target": b"content"}


def test_the_content_of_a_folder_without_a_name_is_written(tmp_path: Path) -> None:
    unpacked(tmp_path, ("./", None, {}), ("./a", b"1", {}), name=".")
    assert written(tmp_path) == {"target/a": b"1"}


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "./data/../../evil",
        "data/../../../evil",
        "/evil",
        "//evil",
        "evil",
        "data2/evil",
        "./data/../evil",
        "..",
        "data/..",
    ],
)
def test_a_name_that_leads_elsewhere_ends_the_copy(tmp_path: Path, name: str) -> None:
    with pytest.raises(HostileArchive, match="which is not below 'data'"):
        unpacked(tmp_path, ("data", None, {}), (name, b"evil", {}), ("data/later", b"", {}))
    assert written(tmp_path) == {}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("to", ["/etc", "..", "../..", "a", "/etc/passwd"])
def test_links_are_left_out_and_what_is_below_them_is_a_folder(tmp_path: Path, kind: bytes, to: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    warnings = unpacked(
        tmp_path,
        ("data", None, {}),
        link("data/l", str(outside) if to == "/etc" else to, kind),
        ("data/l/file", b"in", {}),
    )
    assert len(warnings) == 1
    assert "skipping link: 'data/l'" in warnings[0]
    assert written(tmp_path) == {"target/l/file": b"in"}


def test_a_top_that_is_a_link_is_left_out(tmp_path: Path) -> None:
    assert unpacked(tmp_path, link("data", "/etc/passwd")) == ["skipping link: 'data' -> '/etc/passwd'"]
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_special_files_are_left_out(tmp_path: Path, kind: bytes) -> None:
    assert unpacked(tmp_path, ("data/x", b"", {"type": kind})) == ["skipping special file: 'data/x'"]
    assert written(tmp_path) == {}


def test_links_that_are_there_already_lead_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"before")
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").symlink_to(outside / "kept")
    (target / "hard").hardlink_to(outside / "kept")
    unpacked(tmp_path, ("data/file", b"new", {}), ("data/hard", b"new", {}))
    assert (outside / "kept").read_bytes() == b"before"
    assert (target / "file").read_bytes() == (target / "hard").read_bytes() == b"new"
    (target / "folder").symlink_to(outside)
    with pytest.raises(RemoteSlurmError, match="cannot write"):
        unpacked(tmp_path, ("data/folder/evil", b"evil", {}))
    assert [path.name for path in outside.iterdir()] == ["kept"]


def test_a_pipe_that_is_in_the_way_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    os.mkfifo(tmp_path / "target" / "pipe")
    unpacked(tmp_path, ("data/pipe", b"content", {}))
    assert written(tmp_path) == {"target/pipe": b"content"}


@pytest.mark.parametrize("size", [100, 1500])
def test_a_damaged_archive_is_a_sentence(tmp_path: Path, size: int) -> None:
    whole = archive(("data", None, {}), ("data/a", b"x" * 5000, {})).getvalue()
    with pytest.raises(RemoteSlurmError, match="the archive from the container is damaged"):
        unpack(io.BytesIO(whole[:size]), "data", tmp_path / "target", print)


def test_noise_is_a_damaged_archive(tmp_path: Path) -> None:
    with pytest.raises(RemoteSlurmError, match="the archive from the container is damaged"):
        unpack(io.BytesIO(b"noise" * 1000), "data", tmp_path / "target", print)


def test_without_tar_in_the_container_nothing_comes(tmp_path: Path) -> None:
    assert unpack(io.BytesIO(b""), "data", tmp_path / "target", print) == 0


def test_a_name_that_no_file_can_have_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RemoteSlurmError, match="File name too long"):
        unpacked(tmp_path, ("data", None, {}), ("data/" + "x" * 300, b"", {}))
