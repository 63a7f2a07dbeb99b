"""HTTPS on the TCP port: the certificate, and whose certificates clients may show.

Files that are renewed on disk serve the next connection. Where they cannot be used then, the ones before stay, and the
log has the reason: a renewal is often two files that are not there at the same moment.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from remote_slurm.config import TLS
from remote_slurm.config.strict_modes import unsafe_file
from remote_slurm.config.subjects import Rdns, rdns_of, rdns_of_text, text_of
from remote_slurm.config.tls import Protocol
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.log import info, warning

_Stamps = tuple[tuple[int, int, int], ...]
# X509_verify_cert_error_string(3): no list, its signature, not yet valid, expired, certificate revoked
_OF_CRL = frozenset({3, 8, 11, 12, 23})


class CannotEncrypt(RemoteSlurmError):
    """A file of TLS cannot be used; the message names the key."""


class ClientCertificate:
    """A client's verified certificate: its subject and alternative names."""

    def __init__(self, der: bytes) -> None:
        found = x509.load_der_x509_certificate(der)
        self._begins, self._ends = found.not_valid_before_utc, found.not_valid_after_utc
        self.issuer, self.serial = found.issuer.public_bytes(), found.serial_number
        try:
            self.subject, self._rdns = text_of(found.subject), rdns_of(found.subject)
            self._others = frozenset(_alternative_names(found))
        except ValueError:  # names that are not what X.509 allows
            self.subject, self._rdns, self._others = "", (), frozenset()

    @property
    def name(self) -> str:
        """The subject, or one of the alternative names if the subject is empty."""
        return self.subject or min(self._others, default="")

    def matches(self, pattern: str) -> bool:
        """Compare with a subject, part by part, or with an alternative name: a `*` stays within one part."""
        wanted = rdns_of_text(pattern)
        return _same(wanted, self._rdns) if wanted else any(_same_parts(pattern, each) for each in self._others)

    def is_valid(self, now: datetime) -> bool:
        """Whether its time has come and is not over: a handshake checks that once, and connections may last."""
        return self._begins <= now <= self._ends


class _Accepting(ssl.SSLContext):
    """The context of the server's connections from one state of the files; `anchors` are the authorities of clients."""

    anchors: frozenset[bytes] = frozenset()
    revoked: frozenset[tuple[bytes, int]] = frozenset()


class _Renewing(ssl.SSLContext):
    """The context that the server listens with: each connection gets the current one, with session keys of its own.

    A session of an earlier context cannot be resumed, so that it does not outlive the authorities of then.
    """

    current: Callable[[], ssl.SSLContext]

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return self.current().wrap_bio(*args, **options)


class _Connection(ssl.SSLObject):
    """A connection whose handshake reports why a client's certificate was refused."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLCertVerificationError as error:
            key = "CRLFile" if error.verify_code in _OF_CRL else "ClientCAFile"
            warning("refused a client certificate", reason=error.verify_message, rule=f"TLS.{key}")
            raise
        except ssl.SSLError as error:
            if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
                warning("refused a client without a certificate", rule="TLS.ClientCAFile")
            raise


class Certificates:
    """`context` is for the server."""

    def __init__(self, settings: TLS, block: str = "") -> None:
        """`block` is the configuration block that has the key TLS. Raises CannotEncrypt."""
        self.settings = settings
        self.block = block
        self._paths = [
            path for path in (settings.cert_file, settings.key_file, settings.client_ca_file, settings.crl_file) if path
        ]
        self._stamps = self._read_stamps()
        self._current = self._context()
        self.context = _Renewing(ssl.PROTOCOL_TLS_SERVER)
        self.context.current = self._renewed

    def client(self, connection: ssl.SSLObject) -> ClientCertificate | None:
        """Return the certificate with which a client may go on; None if its authority or the certificate is withdrawn.

        A connection that was made with files from before is measured by the present ones.
        """
        der = connection.getpeercert(binary_form=True)
        current = self._renewed()
        if der is None:
            return None
        shown = ClientCertificate(der)
        if not shown.is_valid(datetime.now(UTC)):
            return None
        if connection.context is not current and (
            (shown.issuer, shown.serial) in current.revoked or not current.anchors.intersection(_chain(connection))
        ):
            return None
        return shown

    def _renewed(self) -> _Accepting:
        stamps = self._read_stamps()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._current = self._context()
            except CannotEncrypt as error:
                warning("cannot load the new certificate, keeping the previous one", reason=error)
            else:
                info("the certificate was renewed")
        return self._current

    def _context(self) -> _Accepting:
        try:
            return _context(self.settings)
        except CannotEncrypt as error:
            raise CannotEncrypt(f"{self.block}{error}") from error

    def _read_stamps(self) -> _Stamps:
        return tuple(_stamp(path) for path in self._paths)


def _same(wanted: Rdns, found: Rdns) -> bool:
    return len(wanted) == len(found) and all(
        len(pattern) == len(part)
        and all(
            oid == own and fnmatchcase(value, each) for (oid, each), (own, value) in zip(pattern, part, strict=True)
        )
        for pattern, part in zip(wanted, found, strict=True)
    )


def _same_parts(pattern: str, name: str) -> bool:
    """Compare what dots separate in a DNS name, slashes in a URI and the @ in an address."""
    kind, _, _ = pattern.partition(":")
    separator = {"DNS": ".", "URI": "/", "email": "@"}[kind]
    wanted, found = pattern.split(separator), name.split(separator)
    return len(wanted) == len(found) and all(fnmatchcase(*each) for each in zip(found, wanted, strict=True))


def _alternative_names(found: x509.Certificate) -> list[str]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kinds = (("URI", x509.UniformResourceIdentifier), ("DNS", x509.DNSName), ("email", x509.RFC822Name))
    return [f"{word}:{value}" for word, kind in kinds for value in names.get_values_for_type(kind)]


def _chain(connection: ssl.SSLObject) -> list[bytes]:
    """The certificates by which a client was verified, in DER; none for a session that was resumed."""
    if hasattr(connection, "get_verified_chain"):  # Python 3.13
        return list(connection.get_verified_chain() or ())
    # the same in Python 3.10 to 3.12, without a public name
    found = connection._sslobj.get_verified_chain() or ()  # type: ignore[attr-defined]  # noqa: SLF001
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in found]


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_ino, found.st_size


def _context(settings: TLS) -> _Accepting:
    context = _Accepting(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Connection
    context.minimum_version = _VERSIONS[settings.min_protocol]
    context.set_ciphers(settings.cipher_string)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    expires = certificate(settings).not_valid_after_utc
    if expires < datetime.now(UTC):
        raise CannotEncrypt(f"TLS.CertFile {settings.cert_file} expired on {expires:%Y-%m-%d}: renew it")
    _load_key(context, settings)
    if settings.client_ca_file:
        _load_authorities(context, settings.client_ca_file)
    if settings.crl_file:
        _load_revocations(context, settings.crl_file)
    return context


_VERSIONS = {Protocol.TLS_1_2: ssl.TLSVersion.TLSv1_2, Protocol.TLS_1_3: ssl.TLSVersion.TLSv1_3}


def certificate(settings: TLS) -> x509.Certificate:
    """The one of CertFile as it is now. Raises CannotEncrypt."""
    text = _read("TLS.CertFile", settings.cert_file)
    try:
        return x509.load_pem_x509_certificates(text)[0]
    except ValueError as error:
        raise CannotEncrypt(f"TLS.CertFile {settings.cert_file} holds no certificate in PEM") from error


def _load_key(context: ssl.SSLContext, settings: TLS) -> None:
    key = settings.key_file
    text = _read("TLS.KeyFile", key)
    if b"ENCRYPTED" in text:
        raise CannotEncrypt(f"TLS.KeyFile {key} has a passphrase: store the key without one, as `openssl pkey` does")
    try:
        context.load_cert_chain(str(settings.cert_file), str(key), password=_empty_passphrase)
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            raise CannotEncrypt(f"TLS.KeyFile {key} is not the key of TLS.CertFile {settings.cert_file}") from error
        raise CannotEncrypt(f"TLS.KeyFile {key} holds no private key in PEM ({error.reason})") from error


def _empty_passphrase() -> str:
    return ""


def _load_authorities(context: _Accepting, path: Path) -> None:
    text = _read("TLS.ClientCAFile", path)
    try:
        context.load_verify_locations(cadata=text.decode("ascii", errors="replace"))
        found = x509.load_pem_x509_certificates(text)
        context.anchors = frozenset(each.public_bytes(serialization.Encoding.DER) for each in found)
    except (ssl.SSLError, ValueError) as error:
        raise CannotEncrypt(f"TLS.ClientCAFile {path} holds no certificate in PEM") from error
    context.verify_mode = ssl.CERT_REQUIRED
    # as Python does by itself from 3.13 on
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    # a resumed session is not verified again
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET


def _load_revocations(context: _Accepting, path: Path) -> None:
    text = _read("TLS.CRLFile", path)
    try:
        lists = [x509.load_pem_x509_crl(_CRL + part) for part in text.split(_CRL)[1:]]
        if lists:
            context.load_verify_locations(cafile=str(path))
    except (ssl.SSLError, OSError, ValueError) as error:
        raise CannotEncrypt(f"TLS.CRLFile {path} holds a list that cannot be read: it must be in PEM") from error
    if not lists:
        raise CannotEncrypt(f"TLS.CRLFile {path} holds no certificate revocation list in PEM")
    for each in lists:
        if each.next_update_utc is not None and each.next_update_utc < datetime.now(UTC):
            raise CannotEncrypt(
                f"TLS.CRLFile {path}: the list of {text_of(each.issuer)} expired on {each.next_update_utc:%Y-%m-%d}: "
                "renew it"
            )
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    context.revoked = frozenset((each.issuer.public_bytes(), entry.serial_number) for each in lists for entry in each)


_CRL = b"-----BEGIN X509 CRL-----"


def _read(key: str, path: Path | None) -> bytes:
    try:
        found = unsafe_file(Path(str(path)))
        text = Path(str(path)).read_bytes()
    except OSError as error:
        raise CannotEncrypt(f"{key} {path} cannot be read: {error.strerror}") from error
    if found:
        raise CannotEncrypt(f"{key} {path} is not used: {found}")
    return text
