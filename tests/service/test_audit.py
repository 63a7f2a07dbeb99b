"""The audit log as a file: it blocks no request, loses no line while there is room, and counts lost lines."""

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.service.audit import AuditLog, CannotAudit, masked
from tests.api.api_client import until
from tests.service.logged import Logged


def _fails(*command: str | Path) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode != 0


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_a_line_has_what_is_known_and_nothing_else(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit")
    log.write("create", "refused", {"pod": {"uid": "1"}, "identity": ""}, status=400, reason="a\nb" + "c" * 1000)
    log.close()
    (line,) = lines(tmp_path / "audit")
    assert line.pop("time").endswith("Z")
    assert line == {
        "verb": "create",
        "outcome": "refused",
        "pod": {"uid": "1"},
        "status": 400,
        "reason": ("a b" + "c" * 1000)[:500],
    }
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o600


async def test_a_renamed_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    log = AuditLog(path)
    for number in range(3):
        log.write("create", str(number))
        await until(lambda: log.written > number)  # noqa: B023 - it is waited for at once
        if number < 2:
            path.rename(tmp_path / f"audit.{number}")
    log.close()
    assert [each["outcome"] for name in ("audit.0", "audit.1", "audit") for each in lines(tmp_path / name)] == [
        "0",
        "1",
        "2",
    ]


async def test_a_full_disk_stops_no_request_and_is_reported(tmp_path: Path, logged: Logged) -> None:
    """/dev/full has no room for anything."""
    path, room = tmp_path / "audit", tmp_path / "room"
    path.symlink_to("/dev/full")
    log = AuditLog(path, max_waiting=5, retry_seconds=0.01)
    log.write("create", "0")
    await until(lambda: log.failing)
    for number in range(1, 9):
        log.write("create", str(number))
    assert (log.written, log.lost) == (0, 4)
    (line,) = logged.with_message("cannot write the audit log, keeping a limited number of lines in memory")
    assert (line.fields["reason"], line.fields["waiting"]) == ("No space left on device", 5)
    room.touch()
    path.unlink()
    path.symlink_to(room)
    await until(lambda: log.written == 6)
    log.write("create", "again")
    log.close()
    assert not log.failing
    assert [each["outcome"] for each in lines(room)] == ["0", "1", "2", "3", "4", "lost", "again"]
    assert lines(room)[5]["lost"] == 4
    assert len(logged.with_message("the audit log can be written again")) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
async def test_a_line_that_a_full_disk_cut_is_whole_later(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if _fails("mount", "-t", "tmpfs", "-o", "size=8k", "none", disk):
        pytest.skip("this machine mounts no file system")
    try:
        log = AuditLog(disk / "audit", retry_seconds=0.01)
        for number in range(100):
            log.write("create", str(number), reason="x" * 300)
        await until(lambda: log.failing)
        assert not _fails("mount", "-o", "remount,size=1m", disk)
        await until(lambda: log.written == 100)
        log.close()
        assert [each["outcome"] for each in lines(disk / "audit")] == [str(number) for number in range(100)]
    finally:
        log.close()
        _fails("umount", "-l", disk)


async def test_a_pipe_without_a_reader_holds_up_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = AuditLog(tmp_path / "pipe")
    for _ in range(1000):
        log.write("create", "accepted", reason="x" * 500)
    log.close(0.05)
    assert 0 < log.written < 1000
    os.close(reader)


async def test_a_removed_folder_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit"
    path.parent.mkdir()
    log = AuditLog(path, retry_seconds=0.01)
    path.unlink()
    path.parent.rmdir()
    log.write("create", "0")
    await until(lambda: log.failing)
    path.parent.mkdir()
    await until(lambda: log.written == 1)
    log.close()
    assert len(lines(path)) == 1


@pytest.mark.parametrize("name", ["absent/audit", "."])
def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotAudit, match=r"AuditLog .* cannot be opened: (No such file|Is a directory)"):
        AuditLog(tmp_path / name)


def test_without_a_place_nothing_is_written() -> None:
    log = AuditLog()
    log.write("create", "accepted")
    log.reopen()
    log.close()
    assert (log.written, log.lost) == (0, 0)


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        ("docker://me:secret@registry.example.org/x", "docker://me:***@registry.example.org/x"),
        ("docker://registry.example.org:5000/x@sha256:1", "docker://registry.example.org:5000/x@sha256:1"),
        ("docker://me@registry.example.org#x", "docker://me@registry.example.org#x"),
    ],
)
def test_a_password_in_an_image_is_masked(image: str, shown: str) -> None:
    assert masked(image) == shown
