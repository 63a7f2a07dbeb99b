"""Hosts that show a certificate: `@cert-authority` and `@revoked` lines, against a real sshd."""

import subprocess
from pathlib import Path

import pytest

from remote_slurm.errors import HostKeyRefused
from tests.ssh.ssh_server import Sshd, StartSshd, connection_to, make_key

ADDRESS = ("-n", "127.0.0.1")


def certify(server: Sshd, authority: Path, *options: str, kind: str = "ed25519") -> None:
    """Give the server a certificate for its host key; `options` are those of ssh-keygen."""
    key = server.folder / f"host_{kind}"
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "a test", *options, f"{key}.pub"], check=True)
    with (server.folder / "sshd_config").open("a") as config:
        config.write(f"HostCertificate {key}-cert.pub\n")
    server.stop()
    server.start()


def public(key: Path) -> str:
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def trust(server: Sshd, *lines: str) -> None:
    (server.folder / "known_hosts").write_text("\n".join(lines) + "\n")


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    return make_key(tmp_path / "authority")


@pytest.mark.parametrize(("kind", "signer"), [("ed25519", "ed25519"), ("ecdsa", "rsa"), ("rsa", "ecdsa")])
async def test_a_certificate_by_a_known_authority_is_enough(
    start_sshd: StartSshd, tmp_path: Path, kind: str, signer: str
) -> None:
    server, authority = start_sshd(host_keys=(kind,)), make_key(tmp_path / "authority", signer)
    certify(server, authority, "-h", *ADDRESS, kind=kind)
    trust(server, f"@cert-authority 127.* {public(authority)}")
    async with connection_to(server.settings()) as connection:
        assert (await connection.link()).alive


@pytest.mark.parametrize("names", ["127.0.0.1", "[127.0.0.1]:PORT", "*"])
async def test_an_authority_is_for_the_name_with_and_without_the_port(
    start_sshd: StartSshd, authority: Path, names: str
) -> None:
    server = start_sshd()
    certify(server, authority, "-h")  # for every host
    trust(server, f"@cert-authority {names.replace('PORT', str(server.port))} {public(authority)}")
    async with connection_to(server.settings()) as connection:
        assert (await connection.link()).alive


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-h", "-n", "login.site,other.site"), "it is for login.site, other.site, and not for 127.0.0.1"),
        (("-h", "-n", "127.*"), "it is for 127.., and not for 127.0.0.1"),  # as OpenSSH, no patterns
        (("-h", *ADDRESS, "-V", "20200101:20200102"), "it has expired on 2020-01-0[12]"),
        (("-h", *ADDRESS, "-V", "+52w:+53w"), "it is valid only from 20"),
        (("-h", *ADDRESS, "-O", "critical:only-on=fridays"), "critical options, which are not known here: only-on"),
        (ADDRESS, "it is a certificate for users"),
    ],
)
async def test_a_certificate_that_says_something_else_is_refused(
    start_sshd: StartSshd, authority: Path, options: tuple[str, ...], sentence: str
) -> None:
    server = start_sshd()
    certify(server, authority, *options)
    trust(server, f"@cert-authority * {public(authority)}")
    async with connection_to(server.settings()) as connection:
        # sshd itself does not show a certificate for users as one of its own
        with pytest.raises(HostKeyRefused, match=rf"{sentence}|host shows no certificate"):
            await connection.link()
    assert "Accepted" not in server.log


async def test_a_certificate_by_a_stranger_is_refused(start_sshd: StartSshd, authority: Path, tmp_path: Path) -> None:
    server = start_sshd()
    certify(server, make_key(tmp_path / "stranger"), "-h", *ADDRESS)
    trust(server, f"@cert-authority * {public(authority)}")
    async with connection_to(server.settings()) as connection:
        with pytest.raises(HostKeyRefused, match="no @cert-authority line for this host has the key that signed it"):
            await connection.link()


async def test_a_certificate_that_is_signed_with_sha1_is_refused(start_sshd: StartSshd, tmp_path: Path) -> None:
    server, authority = start_sshd(), make_key(tmp_path / "authority", "rsa")
    certify(server, authority, "-h", "-t", "ssh-rsa", *ADDRESS)
    trust(server, f"@cert-authority * {public(authority)}")
    async with connection_to(server.settings()) as connection:
        with pytest.raises(HostKeyRefused, match="it is signed with SHA-1"):
            await connection.link()


async def test_an_authority_and_a_host_without_a_certificate(sshd: Sshd, authority: Path) -> None:
    trust(sshd, f"@cert-authority * {public(authority)}")
    async with connection_to(sshd.settings()) as connection:
        with pytest.raises(HostKeyRefused, match="only a @cert-authority line for it, but the host shows no"):
            await connection.link()


async def test_a_known_key_is_enough_whatever_its_certificate_says(start_sshd: StartSshd, authority: Path) -> None:
    """As with OpenSSH, which looks for the key itself where no authority vouches for it."""
    server = start_sshd()
    certify(server, authority, "-h", "-n", "elsewhere")
    server.know(server.port)
    with (server.folder / "known_hosts").open("a") as file:
        file.write(f"@cert-authority * {public(authority)}\n")
    async with connection_to(server.settings()) as connection:
        assert (await connection.link()).alive


@pytest.mark.parametrize("revoked", ["authority", "host key"])
async def test_what_is_revoked_is_refused_whatever_else_is_said(
    start_sshd: StartSshd, authority: Path, revoked: str
) -> None:
    server = start_sshd()
    certify(server, authority, "-h", *ADDRESS)
    key = {"authority": public(authority), "host key": server.host_key}[revoked]
    trust(
        server,
        f"@cert-authority * {public(authority)}",
        f"[127.0.0.1]:{server.port} {server.host_key}",
        f"@revoked 127.0.0.1 {key}",
    )
    async with connection_to(server.settings()) as connection:
        with pytest.raises(HostKeyRefused, match="as @revoked"):
            await connection.link()


async def test_jump_hosts_are_verified_in_the_same_way(start_sshd: StartSshd, authority: Path) -> None:
    jump, target = start_sshd(), start_sshd()
    settings = target.behind(jump)
    certify(jump, authority, "-h", *ADDRESS)
    certify(target, authority, "-h", *ADDRESS)
    trust(target, f"@cert-authority * {public(authority)}")
    async with connection_to(settings) as connection:
        assert (await connection.link()).alive
    trust(target, f"@cert-authority * {public(authority)}", f"@revoked * {jump.host_key}")
    async with connection_to(settings) as connection:
        with pytest.raises(HostKeyRefused, match="as @revoked"):
            await connection.link()
