"""HTTPS on the TCP port: the certificate, and whose certificates clients may show.

Files that are renewed on disk serve the next connection. Where they cannot be used then, the ones before stay, and the
log says why: a renewal is often two files that are not there at the same moment.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from remote_slurm.config import TLS
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.events import event, warn

_Stamps = tuple[tuple[int, int], ...]


class CannotEncrypt(RemoteSlurmError):
    """A file of TLS cannot be used; the message names the key."""


class Certificates:
    """`context` is for the server."""

    def __init__(self, settings: TLS, block: str = "") -> None:
        """`block` is where TLS stands. Raises CannotEncrypt."""
        self._settings = settings
        self._block = block
        self._paths = [path for path in (settings.cert_file, settings.key_file, settings.client_ca_file) if path]
        self._stamps = self._look()
        self.context = self._current = self._context()
        # called at the start of each handshake, also where a client names no host
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        self._renew()
        connection.context = self._current

    def _renew(self) -> None:
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._current = self._context()
        except CannotEncrypt as error:
            warn(f"the certificate from before stays: {error}")
        else:
            event("the certificate was renewed")

    def _context(self) -> ssl.SSLContext:
        try:
            return _context(self._settings)
        except CannotEncrypt as error:
            raise CannotEncrypt(f"{self._block}{error}") from error

    def _look(self) -> _Stamps:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino


def _context(settings: TLS) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    expires = certificate(settings).not_valid_after_utc
    if expires < datetime.now(UTC):
        raise CannotEncrypt(f"TLS.CertFile {settings.cert_file} expired on {expires:%Y-%m-%d}: renew it")
    _load_key(context, settings)
    if settings.client_ca_file:
        _load_authorities(context, settings.client_ca_file)
    return context


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
        raise CannotEncrypt(f"TLS.KeyFile {key} has a passphrase: nobody is there to type it, so store the key without")
    try:
        context.load_cert_chain(str(settings.cert_file), str(key), password=_nobody_types_it)
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            raise CannotEncrypt(f"TLS.KeyFile {key} is not the key of TLS.CertFile {settings.cert_file}") from error
        raise CannotEncrypt(f"TLS.KeyFile {key} holds no private key in PEM ({error.reason})") from error


def _nobody_types_it() -> str:
    return ""


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    text = _read("TLS.ClientCAFile", path)
    try:
        context.load_verify_locations(cadata=text.decode("ascii", errors="replace"))
    except (ssl.SSLError, ValueError) as error:
        raise CannotEncrypt(f"TLS.ClientCAFile {path} holds no certificate in PEM") from error
    context.verify_mode = ssl.CERT_REQUIRED


def _read(key: str, path: Path | None) -> bytes:
    try:
        return Path(str(path)).read_bytes()
    except OSError as error:
        raise CannotEncrypt(f"{key} {path} cannot be read: {error.strerror}") from error
