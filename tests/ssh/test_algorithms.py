"""Which algorithms are offered, and what is said if a site accepts none of them, against a real sshd."""

import re

import pytest

from remote_slurm.config import SSH
from remote_slurm.config.algorithms import Kind, available, default
from remote_slurm.errors import NoCommonAlgorithm
from remote_slurm.ssh.transport import ParamikoTransport
from tests.ssh.ssh_server import Sshd, StartSshd, connection_to


def offered(server: Sshd) -> dict[str, list[str]]:
    """What the last client proposed, as sshd logs it at DEBUG2."""
    proposal = server.log.rpartition("peer client KEXINIT proposal")[2]
    lines = re.findall(r"debug2: (KEX algorithms|host key algorithms|ciphers ctos|MACs ctos): (\S+)", proposal)
    return {name: listed.split(",") for name, listed in lines[:4]}


async def test_nothing_weak_is_offered(start_sshd: StartSshd) -> None:
    server = start_sshd("LogLevel DEBUG2")
    async with connection_to(server.settings()) as connection:
        await connection.link()
    names = " ".join(name for listed in offered(server).values() for name in listed)
    assert not re.search(r"cbc|md5|sha1\b|3des|ssh-rsa|group1-|cert-v01", names)
    assert offered(server)["ciphers ctos"][0] == "aes128-gcm@openssh.com"
    assert "rsa-sha2-512" in offered(server)["host key algorithms"]


async def test_what_is_configured_is_offered_and_nothing_else(start_sshd: StartSshd) -> None:
    jump, server = start_sshd("LogLevel DEBUG2"), start_sshd("LogLevel DEBUG2")
    settings = server.behind(jump).model_dump(by_alias=True) | {
        "Ciphers": "aes256-ctr",
        "MACs": "-*sha2-256*",
        "KexAlgorithms": "^ecdh-sha2-nistp521",
        "HostKeyAlgorithms": "ssh-ed25519",
    }
    async with connection_to(SSH.model_validate(settings)) as connection:
        await connection.link()
    for each in (jump, server):
        proposal = offered(each)
        assert proposal["ciphers ctos"] == ["aes256-ctr"]
        assert proposal["MACs ctos"] == ["hmac-sha2-512-etm@openssh.com", "hmac-sha2-512"]
        assert proposal["KEX algorithms"][0] == "ecdh-sha2-nistp521"
        assert proposal["host key algorithms"] == ["ssh-ed25519"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("Ciphers chacha20-poly1305@openssh.com", "Ciphers: it accepts only chacha20-poly1305@.*aes256-ctr"),
        (
            "MACs hmac-sha1\nCiphers aes256-ctr",
            "MACs: it accepts only hmac-sha1, and offered are only hmac-sha2",
        ),
        ("KexAlgorithms diffie-hellman-group14-sha1", "KexAlgorithms: it accepts only diffie-hellman-group14-sha1, "),
        ("HostKeyAlgorithms ssh-rsa", "HostKeyAlgorithms: it accepts only ssh-rsa, and offered are only rsa-sha2-512"),
    ],
    ids=["cipher", "mac", "kex", "host key"],
)
async def test_no_common_algorithm_is_reported_with_both_lists(start_sshd: StartSshd, line: str, sentence: str) -> None:
    kind = "rsa" if "ssh-rsa" in line else "ed25519"
    server = start_sshd(line, host_keys=(kind,))
    server.know(server.port, (server.folder / f"host_{kind}.pub").read_text())
    async with connection_to(server.settings()) as connection:
        with pytest.raises(NoCommonAlgorithm, match=sentence):
            await connection.link()


async def test_a_jump_host_that_accepts_none_of_them_is_named(start_sshd: StartSshd) -> None:
    jump, server = start_sshd("Ciphers chacha20-poly1305@openssh.com"), start_sshd()
    async with connection_to(server.behind(jump)) as connection:
        with pytest.raises(NoCommonAlgorithm, match=rf"port {jump.port} has no algorithm in common"):
            await connection.link()


async def test_what_is_weak_can_be_added(start_sshd: StartSshd) -> None:
    server = start_sshd("MACs hmac-sha1", "Ciphers aes256-cbc")
    async with connection_to(server.settings(Ciphers="+aes256-cbc", MACs="+hmac-sha1")) as connection:
        assert (await connection.link()).alive


async def test_a_mac_does_not_matter_where_the_cipher_needs_none(start_sshd: StartSshd) -> None:
    """Hardened sites allow umac only, which Paramiko does not have, beside AES-GCM."""
    server = start_sshd("MACs umac-128-etm@openssh.com,umac-128@openssh.com")
    async with connection_to(server.settings()) as connection:
        assert (await connection.link()).alive


async def test_curve25519_under_its_standard_name(start_sshd: StartSshd) -> None:
    server = start_sshd("KexAlgorithms curve25519-sha256")
    async with connection_to(server.settings()) as connection:
        assert (await connection.link()).alive


@pytest.mark.parametrize("kind", Kind)
def test_paramiko_implements_what_is_offered(kind: Kind) -> None:
    assert default(kind)
    assert set(default(kind)) <= set(available(kind)) <= set(getattr(ParamikoTransport, kind.table))
