"""Keys, certificates and banners as people have them: what logs in, and what is said if nothing does."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import cast

import paramiko
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from remote_slurm.errors import AuthenticationRefused, NotSent, RemoteFailed
from remote_slurm.ssh.reachability import login_shell
from remote_slurm.ssh.remote_shell import send_unless_closed
from remote_slurm.ssh.sessions import PoolSize, Request, Sessions
from tests.ssh.ssh_server import Sshd, StartSshd, connection_to, make_key


def certify(key: Path, authority: Path, *options: str) -> Path:
    command = ["ssh-keygen", "-q", "-s", str(authority), "-I", "a test", *options, f"{key}.pub"]
    subprocess.run(command, check=True)
    return key.with_name(f"{key.name}-cert.pub")


def _stale(key: Path) -> None:
    certify(key, make_key(key.parent / "authority"), "-n", "me", "-V", "20200101:20200102")


def _unknown(key: Path) -> None:
    certify(key, make_key(key.parent / "authority"), "-n", "me")


def _foreign(key: Path) -> None:
    other = make_key(key.parent / "other")
    certify(other, make_key(key.parent / "authority"), "-n", "me")
    shutil.copy(f"{other}-cert.pub", f"{key}-cert.pub")


def _for_hosts(key: Path) -> None:
    certify(key, make_key(key.parent / "authority"), "-h", "-n", "me")


def _written(text: str) -> Callable[[Path], None]:
    def write(key: Path) -> None:
        Path(f"{key}-cert.pub").write_text(text)

    return write


BESIDE = {
    "stale": (_stale, r"cert\.pub \(expired 2020-01-0"),
    "of another authority": (_unknown, r"cert\.pub, .*user_ed25519; "),
    "foreign": (_foreign, "cert.pub is not a certificate for .*user_ed25519, but for another key"),
    "for hosts": (_for_hosts, "is a certificate for hosts, and not for users"),
    "damaged": (_written("ssh-ed25519-cert-v01@openssh.com AAAA\n"), "cert.pub is not a certificate"),
    "empty": (_written(""), "cert.pub is empty, and no certificate"),
    "a folder": (lambda key: Path(f"{key}-cert.pub").mkdir(), r"cert.pub cannot be read \(Is a directory"),
}


@pytest.mark.parametrize("name", BESIDE)
async def test_a_certificate_that_lies_beside_a_key_does_no_harm(sshd: Sshd, name: str) -> None:
    make, sentence = BESIDE[name]
    make(sshd.folder / "user_ed25519")
    async with connection_to(sshd.settings()) as connection:
        assert (await connection.link()).alive
    (sshd.folder / "authorized_keys").write_text("")
    async with connection_to(sshd.settings()) as connection:
        with pytest.raises(AuthenticationRefused, match=sentence):
            await connection.link()


@pytest.mark.parametrize("name", ["foreign", "for hosts", "damaged", "empty"])
async def test_a_certificate_that_is_named_has_to_be_one_for_the_key(sshd: Sshd, name: str) -> None:
    key = sshd.folder / "user_ed25519"
    make, sentence = BESIDE[name]
    make(key)
    async with connection_to(sshd.settings(CertificateFile=f"{key}-cert.pub")) as connection:
        with pytest.raises(AuthenticationRefused, match=f"^CertificateFile .*{sentence}$"):
            await connection.link()


def _openssl(*options: str) -> Callable[[Path], None]:
    def make(key: Path) -> None:
        subprocess.run(["openssl", *options, "-out", key], check=True, capture_output=True)
        key.chmod(0o600)

    return make


def _with_carriage_returns(key: Path) -> None:
    make_key(key)
    key.write_bytes(key.read_bytes().replace(b"\n", b"\r\n"))


def _without_a_last_newline(key: Path) -> None:
    make_key(key)
    key.write_bytes(key.read_bytes().rstrip())


KEYS = {
    "PKCS#8 Ed25519": _openssl("genpkey", "-algorithm", "ed25519"),
    "PKCS#8 RSA": _openssl("genpkey", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"),
    "PKCS#8 ECDSA": _openssl("genpkey", "-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "PKCS#8 with a passphrase": _openssl("genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret"),
    "PEM ECDSA": _openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1"),
    "PEM RSA": lambda key: make_key(key, "rsa", "-m", "PEM", "-b", "2048"),
    "PEM RSA with a passphrase": lambda key: make_key(key, "rsa", "-m", "PEM", "-b", "2048", "-N", "secret"),
    "carriage returns": _with_carriage_returns,
    "no last newline": _without_a_last_newline,
}


def _public(key: Path, passphrase: bytes | None) -> bytes:
    """ssh-keygen of OpenSSH 9 cannot do that for all of them."""
    load = load_ssh_private_key if b"OPENSSH" in key.read_bytes() else load_pem_private_key
    return load(key.read_bytes(), passphrase).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


@pytest.mark.parametrize("name", KEYS)
async def test_a_key_in_each_format(sshd: Sshd, tmp_path: Path, name: str) -> None:
    key = tmp_path / "key"
    KEYS[name](key)
    (tmp_path / "passphrase").write_text("secret\n")
    (sshd.folder / "authorized_keys").write_bytes(_public(key, b"secret" if "passphrase" in name else None))
    settings = sshd.settings(IdentityFile=str(key), PassphraseFile=str(tmp_path / "passphrase"))
    async with connection_to(settings) as connection:
        assert (await connection.link()).alive


async def test_a_key_of_a_kind_that_ssh_has_not(sshd: Sshd, tmp_path: Path) -> None:
    _openssl("genpkey", "-algorithm", "x25519")(tmp_path / "key")
    async with connection_to(sshd.settings(IdentityFile=str(tmp_path / "key"))) as connection:
        with pytest.raises(AuthenticationRefused, match=r"is not a private key in .* of type Ed25519, ECDSA or RSA"):
            await connection.link()


async def test_the_words_of_a_banner_are_shown_if_the_login_fails(start_sshd: StartSshd, tmp_path: Path) -> None:
    (tmp_path / "banner").write_text("*** Maintenance until Friday. ***\n\nSee https://status.example.org\n")
    server = start_sshd(f"Banner {tmp_path}/banner")
    async with connection_to(server.settings()) as connection:
        assert (await connection.link()).alive
    (server.folder / "authorized_keys").write_text("")
    words = r"message of the site: \*\*\* Maintenance until Friday\. \*\*\* See https://status.example.org: "
    async with connection_to(server.settings()) as connection:
        with pytest.raises(AuthenticationRefused, match=words):
            await connection.link()


# startup files of the account


def _startup_file(start_sshd: StartSshd, home: Path, text: str) -> Sshd:
    """A server whose account has this ~/.bashrc, which bash reads in the sessions of sshd too."""
    (home / ".bashrc").write_text(text)
    return start_sshd(f"SetEnv HOME={home}")


async def test_an_unguarded_exec_zsh_ends_in_a_posix_shell(start_sshd: StartSshd, tmp_path: Path) -> None:
    server = _startup_file(start_sshd, tmp_path, "exec zsh\n")
    async with connection_to(server.settings()) as connection:
        sessions = Sessions(connection)
        words = 'words="a b"; for word in $words; do echo "$word"; done; echo "${ZSH_VERSION-none}"'
        assert (await sessions.run(Request(words), deadline=60)).output == b"a\nb\nnone\n"
        await sessions.close()


async def test_an_unguarded_exec_fish_is_named(start_sshd: StartSshd, tmp_path: Path) -> None:
    server = _startup_file(start_sshd, tmp_path, "echo welcome\nexec fish\n")
    async with connection_to(server.settings()) as connection:
        sessions = Sessions(connection, PoolSize(open_timeout=2))
        with pytest.raises(NotSent, match=r"and printed .welcome.*: a startup file .* may start another shell"):
            await sessions.run(Request("true"), deadline=60)
        await sessions.close()


async def test_the_end_of_what_a_startup_file_prints_is_quoted(start_sshd: StartSshd, tmp_path: Path) -> None:
    server = _startup_file(start_sshd, tmp_path, "for i in $(seq 200); do echo line $i; done\nexec /no/such/shell\n")
    async with connection_to(server.settings()) as connection:
        sessions = Sessions(connection)
        with pytest.raises(NotSent, match=r"the login shell ended, and printed .*No such file or directory'$"):
            await sessions.run(Request("true"), deadline=60)
        with pytest.raises(
            RemoteFailed,
            match=r"the login shell ended without running .*No such file or directory': check for a forced command",
        ):
            login_shell(await connection.link(), 60)  # as `check` does
        await sessions.close()


def test_what_a_shell_printed_is_read_though_it_closed_its_channel() -> None:
    class Closed:
        closed = False

        def sendall(self, _: bytes) -> None:
            self.closed = True
            raise OSError("Socket is closed")

    channel = Closed()
    send_unless_closed(cast(paramiko.Channel, channel), b"x")
    assert channel.closed


def test_a_channel_that_is_open_and_takes_nothing_is_an_error() -> None:
    class Open:
        closed = False

        def sendall(self, _: bytes) -> None:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        send_unless_closed(cast(paramiko.Channel, Open()), b"x")
