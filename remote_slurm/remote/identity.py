"""Who we are at a site: the private key and its certificate, and the login with them.

Paramiko's own order of attempts hides which key failed and why, and asks the terminal when a site wants a second
factor. All files are read anew for each login, so that what was renewed on disk counts. That others can read a key is
nobody's business here, since a mounted Kubernetes Secret has the mode 0644; that others can write to it is.
"""

import contextlib
import stat
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity
from paramiko.pkey import UnknownKeyType

from remote_slurm.errors import AuthenticationRefused

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_FOREVER = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Identity:
    """A key to log in with, and where it came from, for messages."""

    key: paramiko.PKey
    origin: str


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key on disk, with its certificate and the file that holds its passphrase, where there are some."""

    path: Path
    certificate: Path | None = None
    passphrase: Path | None = None


def from_file(file: KeyFile) -> Iterator[Identity]:
    """The key, first with its certificate, where there is one (OpenSSH's order), then alone."""
    key = _load(file)
    beside = file.path.with_name(file.path.name + "-cert.pub")
    if file.certificate or beside.exists():
        yield _certified(file, file.certificate or beside)
    yield Identity(key, str(file.path))


def from_home() -> Iterator[Identity]:
    """Keys of the agent, then those in ~/.ssh that can be read; used where IdentitiesOnly is false."""
    with contextlib.closing(paramiko.Agent()) as agent:
        for key in agent.get_keys():
            yield Identity(key, f"agent key {key.comment or key.get_name()}")
    for name in _DEFAULT_KEYS:
        yield from from_optional_file(Path.home() / ".ssh" / name)


def from_optional_file(path: Path) -> Iterator[Identity]:
    """A key that may be absent or of no use, as with OpenSSH."""
    with contextlib.suppress(AuthenticationRefused):
        yield from from_file(KeyFile(path))


def _certified(file: KeyFile, certificate: Path) -> Identity:
    key = _load(file)
    try:
        key.load_certificate(certificate.read_text(encoding="ascii"))
    except OSError as error:
        raise AuthenticationRefused(f"CertificateFile {certificate} cannot be read ({error.strerror})") from error
    except (paramiko.SSHException, ValueError, UnknownKeyType) as error:
        raise AuthenticationRefused(f"CertificateFile {certificate} is not a certificate for {file.path}") from error
    return Identity(key, f"{certificate}{_validity(certificate)}")


class Login:
    """Logs in as `user`, with each identity in turn; Paramiko calls it once the host key is verified."""

    def __init__(self, user: str, host: str, identities: Generator[Identity, None, None]) -> None:
        self._account = f"{user} at {host}"
        self._user = user
        self._identities = identities

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Return when logged in; raise AuthenticationRefused, or Paramiko's errors when nobody answers."""
        tried: list[str] = []
        with contextlib.closing(self._identities):
            for identity in self._identities:
                if self._accepts(transport, identity, tried):
                    return
                tried.append(identity.origin)
        methods = self._methods(transport)
        raise AuthenticationRefused(
            f"login of {self._account} was refused with {', '.join(tried) or 'no key at all'}: is the public key "
            "in the account's authorized_keys, and is the account open? The site accepts "
            f"{', '.join(methods) or 'nothing that it would name'}",
            methods,
        )

    def _accepts(self, transport: paramiko.Transport, identity: Identity, tried: list[str]) -> bool:
        try:
            missing = transport.auth_publickey(self._user, identity.key)
        except paramiko.AuthenticationException as error:
            if tried and not transport.is_active():
                raise AuthenticationRefused(
                    f"{self._account} ended the login after {len(tried)} keys (MaxAuthTries): {', '.join(tried)}"
                ) from error
            if not transport.is_active() or "timeout" in str(error):
                raise  # no verdict on the key: the connection is gone, or nobody answers
            return False
        if missing:
            raise AuthenticationRefused(
                f"login of {self._account}: the key is accepted, but the site also asks for "
                f"{' or '.join(missing)}: a service cannot answer a second factor, so ask the site for a key "
                "or certificate without one",
                tuple(missing),
            )
        return True

    def _methods(self, transport: paramiko.Transport) -> tuple[str, ...]:
        """What the server accepts: it says so when asked for the method `none`, as OpenSSH does first of all."""
        try:
            transport.auth_none(self._user)
        except paramiko.BadAuthenticationType as error:
            return tuple(error.allowed_types)
        except paramiko.SSHException:
            pass
        return ()


def _load(file: KeyFile) -> paramiko.PKey:
    where = f"IdentityFile {file.path}"
    try:
        text = file.path.read_bytes()
        _refuse_what_others_write(file.path, where)
    except OSError as error:
        raise AuthenticationRefused(f"{where} cannot be read ({error.strerror})") from error
    return _parse(text, file, where)


def _refuse_what_others_write(path: Path, where: str) -> None:
    mode = path.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AuthenticationRefused(
            f"{where} can be written by others (mode {stat.S_IMODE(mode):04o}), who could put their own key there: "
            f"chmod 600 {path}"
        )


def _parse(text: bytes, file: KeyFile, where: str) -> paramiko.PKey:
    passphrase = _passphrase(file.passphrase) if file.passphrase and _is_encrypted(file.path) else None
    try:
        # cryptography, which it is handed to, takes bytes only; Paramiko 5 has renamed the argument
        return paramiko.PKey.from_path(str(file.path), passphrase)  # type: ignore[arg-type]
    except (TypeError, paramiko.PasswordRequiredException) as error:
        raise AuthenticationRefused(
            f"{where} is protected by a passphrase: name the file that holds it as SSH.PassphraseFile, or use a key "
            "without one"
        ) from error
    except (ValueError, paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm) as error:
        if passphrase:
            raise AuthenticationRefused(f"PassphraseFile {file.passphrase} does not open {where}") from error
        raise AuthenticationRefused(f"{where} {_complaint(text)}") from error


def _passphrase(path: Path) -> bytes:
    """Its first line, without the end of the line."""
    try:
        return path.read_bytes().split(b"\n", 1)[0].removesuffix(b"\r")
    except OSError as error:
        raise AuthenticationRefused(f"PassphraseFile {path} cannot be read ({error.strerror})") from error


def _is_encrypted(path: Path) -> bool:
    """Paramiko refuses a passphrase for a key that has none."""
    try:
        paramiko.PKey.from_path(str(path))
    except (TypeError, paramiko.PasswordRequiredException):
        return True
    except (ValueError, OSError, paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm):
        pass
    return False


def _complaint(text: bytes) -> str:
    if text.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        return "holds the public key: the private one is needed"
    if text.startswith(b"PuTTY"):
        return "is in PuTTY's format: export it as an OpenSSH key"
    return "is not a private key in OpenSSH or PEM format of type Ed25519, ECDSA or RSA"


def _validity(path: Path) -> str:
    """A remark when the certificate cannot be accepted because of its dates."""
    try:
        certificate = load_ssh_public_identity(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        return ""
    if not isinstance(certificate, SSHCertificate) or certificate.valid_before == _FOREVER:
        return ""
    if certificate.valid_before <= time.time():
        return f" (expired {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(certificate.valid_before))})"
    if certificate.valid_after > time.time():
        return f" (valid only from {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(certificate.valid_after))})"
    return ""
