"""Who we are at a site: the private key and its certificate, and the login with them.

Paramiko's own order of attempts hides which key failed and why, and asks the terminal when a site wants a second
factor. All files are read anew for each login, so that renewed files are used. A key that others can read is accepted,
since a mounted Kubernetes Secret has the mode 0644; a key that others can write to is refused.
"""

import contextlib
import io
import stat
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_identity,
)

from remote_slurm.config.strict_modes import unsafe_file
from remote_slurm.errors import AuthenticationRefused, Code

_KEY_CLASSES = (
    (ed25519.Ed25519PrivateKey, paramiko.Ed25519Key),
    (ec.EllipticCurvePrivateKey, paramiko.ECDSAKey),
    (rsa.RSAPrivateKey, paramiko.RSAKey),
)
_LONGEST_BANNER = 500
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_FOREVER = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Credential:
    """A key to log in with, and where it came from, for messages."""

    key: paramiko.PKey
    origin: str


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key on disk, with its certificate and the file that holds its passphrase, where there are some.

    `name` and `passphrase_name` are what messages call the files.
    """

    path: Path
    certificate: Path | None = None
    passphrase: Path | None = None
    name: str = "IdentityFile"
    passphrase_name: str = "PassphraseFile"  # noqa: S105 - a name of a file


def from_file(file: KeyFile) -> Iterator[Credential]:
    """The key, first with its certificate, where there is one (OpenSSH's order), then alone.

    A certificate that the configuration does not name may be of no use: the key itself may still be accepted.
    """
    key, origin = _load(file), str(file.path)
    if file.certificate:
        yield _certified(file, file.certificate, f"CertificateFile {file.certificate}")
    beside = file.path.with_name(file.path.name + "-cert.pub")
    if not file.certificate and beside.exists():
        try:
            certified = _certified(file, beside, str(beside))
        except AuthenticationRefused as error:
            origin = f"{origin} (without a certificate: {error})"
        else:
            yield certified
    yield Credential(key, origin)


def needs_passphrase(path: Path) -> bool:
    """Whether the private key is encrypted; False if the file cannot be read or is no key."""
    try:
        _decoded(path.read_bytes(), None)
    except TypeError:
        return True
    except (OSError, ValueError, UnsupportedAlgorithm):
        pass
    return False


def from_home() -> Iterator[Credential]:
    """Keys of the agent, then those in ~/.ssh that can be read; used where IdentitiesOnly is false."""
    with contextlib.closing(paramiko.Agent()) as agent:
        for key in agent.get_keys():
            yield Credential(key, f"agent key {key.comment or key.get_name()}")
    for name in _DEFAULT_KEYS:
        yield from from_optional_file(Path.home() / ".ssh" / name)


def from_optional_file(path: Path) -> Iterator[Credential]:
    """A key that may be absent or of no use, as with OpenSSH."""
    with contextlib.suppress(AuthenticationRefused):
        yield from from_file(KeyFile(path))


def _certified(file: KeyFile, path: Path, name: str) -> Credential:
    key = _load(file)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise _unusable(f"{name} cannot be read ({error.strerror})") from error
    try:
        certificate = load_ssh_public_identity(text.strip())
        key.load_certificate(text.strip().decode(errors="replace"))
    except (paramiko.SSHException, ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(f"{name} is {'not a' if text.strip() else 'empty, and no'} certificate") from error
    if not isinstance(certificate, SSHCertificate):
        raise _unusable(f"{name} is a public key, and not a certificate")
    if certificate.type is not SSHCertificateType.USER:
        raise _unusable(f"{name} is a certificate for hosts, and not for users")
    public = certificate.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    if public.split()[1].decode() != key.get_base64():
        raise _unusable(f"{name} is not a certificate for {file.path}, but for another key")
    return Credential(key, f"{path}{_validity(certificate)}")


class Authentication:
    """Logs in as `user`, with each identity in turn; Paramiko calls it once the host key is verified."""

    def __init__(self, user: str, host: str, identities: Generator[Credential, None, None]) -> None:
        self._account = f"{user} at {host}"
        self._user = user
        self._identities = identities
        self._banner = b""

    @property
    def server_message(self) -> str:
        """What the site has said meanwhile, as the end of a message: a banner, or words of PAM (pam_nologin)."""
        words = " ".join(self._banner.decode(errors="replace").split())
        return f"; message of the site: {words[:_LONGEST_BANNER]}" if words else ""

    def authenticate(self, transport: paramiko.Transport) -> None:
        """Return when logged in; raise AuthenticationRefused, or Paramiko's errors if the server does not answer."""
        tried: list[str] = []
        with contextlib.closing(self._identities):
            for identity in self._identities:
                if self._accepts(transport, identity, tried):
                    return
                tried.append(identity.origin)
        methods = self._methods(transport)
        raise AuthenticationRefused(
            f"login of {self._account} was refused with {', '.join(tried) or 'no key at all'}; the site accepts "
            f"{', '.join(methods) or 'no method that it names'}{self.server_message}",
            methods,
            code=Code.KEY_REFUSED,
            remedy="add the public key to the account's authorized_keys, or ask the site whether the account is open",
        )

    def _accepts(self, transport: paramiko.Transport, identity: Credential, tried: list[str]) -> bool:
        try:
            missing = self._try(transport, identity)
        except paramiko.AuthenticationException as error:
            if tried and not transport.is_active():
                raise AuthenticationRefused(
                    f"{self._account} ended the login after {len(tried)} keys (MaxAuthTries): {', '.join(tried)}"
                    f"{self.server_message}"
                ) from error
            if not transport.is_active() or "timeout" in str(error):
                raise  # no verdict on the key: the connection is gone, or the server does not answer
            return False
        if "keyboard-interactive" in missing:
            missing = self._answer_nothing(transport)
        if missing:
            raise AuthenticationRefused(
                f"login of {self._account}: the key is accepted, but the site also asks for "
                f"{' or '.join(missing)}{self.server_message}",
                tuple(missing),
                remedy="a service cannot answer a second factor, so ask the site for a key or certificate without one",
            )
        return True

    def _try(self, transport: paramiko.Transport, identity: Credential) -> list[str]:
        try:
            return transport.auth_publickey(self._user, identity.key)
        finally:
            # Paramiko's get_banner returns nothing once the connection is closed, nor after the next attempt.
            self._banner = getattr(transport.auth_handler, "banner", None) or self._banner

    def _answer_nothing(self, transport: paramiko.Transport) -> list[str]:
        """Go through keyboard-interactive, where PAM may ask nothing of an account or an address that it knows."""
        texts: list[str] = []

        def answer(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            texts.extend(" ".join(text.split()) for text in (title, instructions, *(prompt for prompt, _ in prompts)))
            if prompts:
                # in Paramiko's thread: it ends the connection
                raise paramiko.SSHException("prompts cannot be answered")
            return []

        try:
            return transport.auth_interactive(self._user, answer)
        except paramiko.SSHException as error:
            words = ": ".join(filter(None, texts)) or str(error)
            return [f"keyboard-interactive ({words})"]

    def _methods(self, transport: paramiko.Transport) -> tuple[str, ...]:
        """The methods that the server accepts, in its reply to the method `none`, which OpenSSH also tries first."""
        try:
            transport.auth_none(self._user)
        except paramiko.BadAuthenticationType as error:
            return tuple(error.allowed_types)
        except paramiko.SSHException:
            pass
        return ()


def _load(file: KeyFile) -> paramiko.PKey:
    where = f"{file.name} {file.path}"
    try:
        text = file.path.read_bytes()
        _refuse_what_others_write(file.path, where)
    except OSError as error:
        raise _unusable(f"{where} cannot be read ({error.strerror})") from error
    return _parse(text, file, where)


def _refuse_what_others_write(path: Path, where: str) -> None:
    mode = path.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(
            f"{where} can be written by others (mode {stat.S_IMODE(mode):04o}), who could put their own key there",
            f"chmod 600 {path}",
        )
    if found := unsafe_file(path):
        raise _unusable(f"{where} is not used", found)


def _parse(text: bytes, file: KeyFile, where: str) -> paramiko.PKey:
    """Read the key with cryptography, which knows PKCS#8 too, and hand it to Paramiko in OpenSSH's format.

    Paramiko's own reader would also load a certificate that lies beside the file.
    """
    try:
        private = _decoded(text, None)
    except TypeError as error:  # it is encrypted
        if file.passphrase is None:
            raise _unusable(
                f"{where} is protected by a passphrase",
                "name the file that holds it as SSH.PassphraseFile, or use a key without one",
            ) from error
        try:
            private = _decoded(text, _passphrase(file.passphrase, file.passphrase_name))
        except (TypeError, ValueError, UnsupportedAlgorithm) as wrong:
            raise _unusable(f"{file.passphrase_name} {file.passphrase} does not open {where}") from wrong
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key(where, text) from error
    return _as_paramiko_has_it(private, where)


def _decoded(text: bytes, passphrase: bytes | None) -> object:
    if b"BEGIN OPENSSH PRIVATE KEY" in text:
        return load_ssh_private_key(text, passphrase)
    return load_pem_private_key(text, passphrase)


def _as_paramiko_has_it(private: object, where: str) -> paramiko.PKey:
    for theirs, ours in _KEY_CLASSES:
        if isinstance(private, theirs):
            try:
                openssh = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
                return ours.from_private_key(io.StringIO(openssh.decode()))
            except (ValueError, UnsupportedAlgorithm, paramiko.SSHException) as error:
                raise _unusable(f"{where} cannot be used ({error})") from error
    raise _no_key(where, b"")


def _passphrase(path: Path, name: str) -> bytes:
    """Its first line, without the end of the line."""
    try:
        return path.read_bytes().split(b"\n", 1)[0].removesuffix(b"\r")
    except OSError as error:
        raise _unusable(f"{name} {path} cannot be read ({error.strerror})") from error


def _no_key(where: str, text: bytes) -> AuthenticationRefused:
    if text.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        return _unusable(f"{where} holds the public key", "the private one is needed")
    if text.startswith(b"PuTTY"):
        return _unusable(f"{where} is in PuTTY's format", "export it as an OpenSSH key")
    return _unusable(f"{where} is not a private key in OpenSSH, PEM or PKCS#8 format of type Ed25519, ECDSA or RSA")


def _unusable(message: str, remedy: str = "") -> AuthenticationRefused:
    return AuthenticationRefused(message, code=Code.KEY_FILE, remedy=remedy)


def _validity(certificate: SSHCertificate) -> str:
    """A remark when the certificate cannot be accepted because of its dates."""
    if certificate.valid_before == _FOREVER:
        return ""
    if certificate.valid_before <= time.time():
        return f" (expired {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(certificate.valid_before))})"
    if certificate.valid_after > time.time():
        return f" (valid only from {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(certificate.valid_after))})"
    return ""
