"""What `check` shows to people: one line for what was not checked, and a sign for what only a compute node can tell."""

import io
import socket
from pathlib import Path

import pytest
import yaml

from remote_slurm.cli.check import _show_in_turn
from remote_slurm.cli.screen import Screen
from remote_slurm.service.check.findings import Finding
from tests.cli.program import Program


def shown(capsys: pytest.CaptureFixture[str], *findings: Finding) -> list[str]:
    import sys

    screen, unchecked = Screen(sys.stdout), []
    for finding in (*findings, None):
        unchecked = _show_in_turn(finding, unchecked, screen)
    return capsys.readouterr().out.splitlines()


def test_what_only_a_compute_node_can_tell_has_no_tick(capsys: pytest.CaptureFixture[str]) -> None:
    (line, _) = shown(capsys, Finding("container runtime", ok=True, message="m", remedy="r", needs_node=True))
    assert line.startswith("? container runtime")


def test_a_warning_has_no_tick(capsys: pytest.CaptureFixture[str]) -> None:
    """A clock that is three hours ahead, and a key that others can read, had one."""
    good, warned = Finding("login", ok=True, message="m"), Finding("clock", ok=True, message="m", remedy="r")
    assert [line[:1] for line in shown(capsys, good, warned)] == ["✓", "!", " "]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_failure_is_no_tick_in_any_encoding(encoding: str) -> None:
    """Where `?` stood for each sign that the encoding lacks, a tick, a cross and a doubt were the same."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    screen, unchecked = Screen(stream), []
    good, bad = Finding("login", ok=True, message="m"), Finding("shell", ok=False, message="m", remedy="r")
    doubt = Finding("container runtime", ok=True, message="m", needs_node=True)
    for finding in (good, bad, doubt, None):
        unchecked = _show_in_turn(finding, unchecked, screen)
    stream.flush()
    lines = stream.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]
    assert [line.split()[0] for line in lines] == (
        ["✓", "✗", "→", "?"] if encoding == "utf-8" else ["+", "x", ">", "?"]
    )


def test_checks_that_were_not_made_share_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    login = Finding("login", ok=False, message="refused")
    others = [Finding(name, None, "not checked: needs login") for name in ("shell", "Slurm", "clock")]
    lines = shown(capsys, login, *others, Finding("job", None, "not checked: needs all checks before it"))
    assert [line.split(maxsplit=1) for line in lines] == [
        ["✗", "login              refused"],
        ["-", "not checked: needs login: shell, Slurm, clock"],
        ["-", "job                not checked: needs all checks before it"],
    ]


def test_a_host_that_refuses_has_two_lines_and_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = tmp_path / "SlurmConfig.yaml"
    ssh = {"HostName": "127.0.0.1", "Port": port, "User": "me", "IdentityFile": str(tmp_path / "id")}
    path.write_text(yaml.safe_dump({"SSH": ssh, "Namespace": "vk"}))
    lines = Program(path)("check").stdout.splitlines()
    assert [line[:1] for line in lines] == ["!", " ", "✗", " ", "-"]
    assert "→ Namespace: pods of namespaces other than vk are rejected" in lines[1]
    assert lines[4].startswith("- ")
    assert "not checked: needs address: host key, login, shell, Slurm" in lines[4]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--array=1", "--flags: --array cannot be used here: one pod is one job"),
        ("--partition='x", "--flags have an unterminated quotation mark: --partition='x"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_checked(tmp_path: Path, flags: str, sentence: str) -> None:
    path = tmp_path / "SlurmConfig.yaml"
    path.write_text(yaml.safe_dump({"SSH": {"HostName": "127.0.0.1", "User": "me", "IdentityFile": "/keys/id"}}))
    done = Program(path)("check", f"--flags={flags}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"remote-slurm: {sentence}")
