"""ConfigFile: what an ssh_config says counts, or it is said that it does not, against a real sshd."""

import os
from pathlib import Path

import pytest

from remote_slurm.config import SSH
from remote_slurm.errors import NoCommonAlgorithm, Unreachable
from remote_slurm.ssh.ssh_config import read
from tests.ssh.ssh_server import Sshd, StartSshd, connection_to


def site(server: Sshd, path: Path, text: str, **changes: object) -> SSH:
    """Settings for a host called `site`, which only the file at `path` knows."""
    path.write_text(text)
    values = server.settings().model_dump(by_alias=True) | {"HostName": "site", "ConfigFile": str(path)} | changes
    del values["Port"]
    return SSH.model_validate(values)


async def test_included_files_count(sshd: Sshd, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "1").write_text("Host site\n  HostName 127.0.0.1\n")
    (tmp_path / "conf.d" / "2").write_text(f"Include {tmp_path}/port\n")
    (tmp_path / "port").write_text(f"Host si*\n  Port {sshd.port}\n")
    settings = site(sshd, tmp_path / "config", "Include conf.d/* absent/*\nConnectTimeout 7\n")
    async with connection_to(settings) as connection:
        assert (await connection.link()).host == "127.0.0.1"


def test_a_file_included_inside_a_block_is_for_that_block(tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("Port 2222\n")
    (tmp_path / "config").write_text("Host a\n  Include inner\n  User x\nHost b\n  User y\n")
    config = read(tmp_path / "config")
    assert (config.lookup("a")["port"], config.lookup("a")["user"]) == ("2222", "x")
    assert "port" not in config.lookup("b")


def test_what_follows_an_include_is_for_every_host(tmp_path: Path) -> None:
    (tmp_path / "inner").write_text("Host a\n  Port 2222\n")
    (tmp_path / "config").write_text('Include="inner"\nUser x\n')
    assert read(tmp_path / "config").lookup("b")["user"] == "x"


@pytest.mark.parametrize(
    ("inner", "outer", "sentence"),
    [
        (
            "Host b\n",
            "Host a\n  Include inner\n",
            "has a Host or Match block of its own, and is included",
        ),
        ("Include inner\n", "Include inner\n", "nested more than 16 deep"),
    ],
)
def test_an_include_that_cannot_be_used(tmp_path: Path, inner: str, outer: str, sentence: str) -> None:
    (tmp_path / "inner").write_text(inner)
    (tmp_path / "config").write_text(outer)
    with pytest.raises(Unreachable, match=sentence):
        read(tmp_path / "config")


def test_an_account_without_a_name_can_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenShift runs containers with ids that no passwd(5) has."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "x")  # what is set meanwhile is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "getuid", lambda: 1_000_660_000)
    assert read(None).lookup("login.example.org")["hostname"] == "login.example.org"


async def test_a_host_key_alias_is_the_name_in_known_hosts(sshd: Sshd, tmp_path: Path) -> None:
    (sshd.folder / "known_hosts").write_text(f"cluster {sshd.host_key}\n")
    text = f"Host site\n  HostName 127.0.0.1\n  Port {sshd.port}\n  HostKeyAlias cluster\n"
    async with connection_to(site(sshd, tmp_path / "config", text)) as connection:
        assert (await connection.link()).alive


async def test_algorithms_of_the_file_count_unless_the_block_ssh_has_some(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    server = start_sshd("Ciphers aes256-ctr")
    text = f"Host site\n  HostName 127.0.0.1\n  Port {server.port}\n  Ciphers "
    settings = site(server, tmp_path / "config", f"{text} chacha20-poly1305@openssh.com,aes128-ctr\n")
    async with connection_to(settings) as connection:
        with pytest.raises(NoCommonAlgorithm, match=r"accepts only aes256-ctr, and offered are only aes128-ctr$"):
            await connection.link()
    settings = site(server, tmp_path / "config", f"{text} aes128-ctr\n", Ciphers="aes256-ctr")
    async with connection_to(settings) as connection:
        assert (await connection.link()).alive
    async with connection_to(site(server, tmp_path / "config", f"{text} chacha20-poly1305@openssh.com\n")) as another:
        with pytest.raises(Unreachable, match="ConfigFile: Ciphers leaves no algorithm"):
            await another.link()


async def test_what_has_no_effect_is_said(sshd: Sshd, tmp_path: Path) -> None:
    text = (
        f"Host site\n  HostName 127.0.0.1\n  Port {sshd.port}\n  BindAddress 127.0.0.1\n  User other\n"
        "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  Compression yes\n"
    )
    async with connection_to(site(sshd, tmp_path / "config", text)) as connection:
        (remark,) = (await connection.link()).remarks
    assert "has bindaddress, stricthostkeychecking, user, userknownhostsfile for site, which has no effect" in remark


async def test_revoked_host_keys_are_not_left_out_in_silence(sshd: Sshd, tmp_path: Path) -> None:
    text = f"Host site\n  HostName 127.0.0.1\n  Port {sshd.port}\n  RevokedHostKeys /etc/ssh/revoked\n"
    async with connection_to(site(sshd, tmp_path / "config", text)) as connection:
        with pytest.raises(Unreachable, match=r"has a RevokedHostKeys for site, .*mark these keys as @revoked"):
            await connection.link()
