"""Which lines of known_hosts speak for a host."""

import subprocess
from pathlib import Path

import paramiko
import pytest

from remote_slurm.errors import HostKeyRefused
from remote_slurm.ssh.host_keys import KnownHost
from tests.ssh.ssh_server import make_key


@pytest.fixture
def key(tmp_path: Path) -> paramiko.PKey:
    return paramiko.PKey.from_path(str(make_key(tmp_path / "key")))


@pytest.fixture
def other(tmp_path: Path) -> paramiko.PKey:
    return paramiko.PKey.from_path(str(make_key(tmp_path / "other")))


def verify(folder: Path, text: str, key: paramiko.PKey, host: str = "login.site", port: int = 22) -> None:
    path = folder / "known_hosts"
    path.write_text(text)
    KnownHost(path, host, port).verify(key)


def line(names: str, key: paramiko.PKey) -> str:
    return f"{names} {key.get_name()} {key.get_base64()} a comment\n"


@pytest.mark.parametrize(
    "names",
    ["login.site", "other.site,login.site", "*.site", "login.sit?", "LOGIN.site", "*.site,!login2.site"],
)
def test_lines_that_name_the_host(tmp_path: Path, key: paramiko.PKey, names: str) -> None:
    verify(tmp_path, "# a comment\n\n" + line(names, key), key)


@pytest.mark.parametrize("names", ["login", "*.site,!login.site", "[login.site]:2222", "site", "|1|damaged|line"])
def test_lines_that_name_another(tmp_path: Path, key: paramiko.PKey, names: str) -> None:
    with pytest.raises(HostKeyRefused, match="has no line for it"):
        verify(tmp_path, line(names, key), key)


def test_a_port_of_its_own_is_part_of_the_name(tmp_path: Path, key: paramiko.PKey) -> None:
    verify(tmp_path, line("[login.site]:2222", key), key, port=2222)
    with pytest.raises(HostKeyRefused, match=r"\[login.site\]:2222 is unknown.*ssh-keyscan -p 2222 login.site"):
        verify(tmp_path, line("login.site", key), key, port=2222)


def test_a_line_without_the_port_is_named(tmp_path: Path, key: paramiko.PKey) -> None:
    with pytest.raises(HostKeyRefused) as raised:
        verify(tmp_path, line("login.site", key), key, port=2222)
    reason = f"the line for login.site in {tmp_path}/known_hosts has no port, and is for port 22 only"
    assert f"{reason}: the name to use is [login.site]:2222" in raised.value.message


def test_hashed_names_as_openssh_writes_them(tmp_path: Path, key: paramiko.PKey) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(line("[login.site]:2222", key))
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    assert "login.site" not in path.read_text()
    KnownHost(path, "login.site", 2222).verify(key)


def test_a_host_may_have_several_keys_of_one_type(tmp_path: Path, key: paramiko.PKey, other: paramiko.PKey) -> None:
    verify(tmp_path, line("login.site", other) + line("login.site", key), key)


def test_a_changed_key_says_what_is_offered_and_what_to_do(
    tmp_path: Path, key: paramiko.PKey, other: paramiko.PKey
) -> None:
    with pytest.raises(HostKeyRefused) as refusal:
        verify(tmp_path, line("login.site", other), key)
    message = str(refusal.value)
    assert key.fingerprint in message
    assert str(tmp_path / "known_hosts") in message
    assert "ask the site" in message


def test_a_revoked_key_is_refused_whatever_else_is_said(tmp_path: Path, key: paramiko.PKey) -> None:
    with pytest.raises(HostKeyRefused, match="@revoked"):
        verify(tmp_path, line("*", key) + "@revoked " + line("*", key), key)


def test_a_certificate_authority_cannot_be_used_and_that_is_said(tmp_path: Path, key: paramiko.PKey) -> None:
    with pytest.raises(HostKeyRefused, match="only a @cert-authority line"):
        verify(tmp_path, "@cert-authority " + line("*.site", key), key)


def test_a_file_that_is_absent_is_named(tmp_path: Path, key: paramiko.PKey) -> None:
    with pytest.raises(HostKeyRefused, match="nowhere does not exist"):
        KnownHost(tmp_path / "nowhere", "login.site", 22).verify(key)


def test_known_types_of_key_are_asked_for_first(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("login.site ssh-rsa AAAA\n")
    algorithms = KnownHost(path, "login.site", 22).prefer(("ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"))
    assert algorithms == ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]
