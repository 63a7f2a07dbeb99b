"""Strict host keys: only the keys of a host in UserKnownHostsFile are accepted.

The file is read here and not by Paramiko, which takes one key per type and host, knows no patterns, and skips the
marked lines (`@revoked`, `@cert-authority`) without a word. Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. Paramiko
negotiates host certificates and checks that the host has their key; whether an authority vouches for them, and for
what, is checked here, with cryptography's parser.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificate,
    SSHCertificateType,
    load_ssh_public_identity,
)

from remote_slurm.config.strict_modes import unsafe_file
from remote_slurm.errors import HostKeyRefused, OfferedKey

CERTIFICATE = "-cert-v01@openssh.com"

_SSH_PORT = 22
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_MARKED = 4
_PLAIN = 3


@dataclass(frozen=True, slots=True)
class _KnownHost:
    marker: str
    names: tuple[str, ...]
    kind: str
    blob: str


class KnownHost:
    """The keys in the file for one host and port. It is read anew for every connection, since people correct it.

    `alias` is the name to look up in place of host and port (HostKeyAlias).
    """

    def __init__(self, path: Path, host: str, port: int, alias: str = "") -> None:
        self._host = (alias or host).lower()
        self.name = (alias or (host if port == _SSH_PORT else f"[{host}]:{port}")).lower()
        self._path = path
        self._scan = f"ssh-keyscan -p {port} {host}"
        self._problem = ""
        lines = self._read()
        self._keys = [line for line in lines if not line.marker and _matches(line.names, self.name)]
        # OpenSSH asks before it uses such a line for another port
        self._bare = any(not line.marker and _matches(line.names, self._host) for line in lines)
        # As OpenSSH does, whose lines for authorities seldom name a port
        marked = [line for line in lines if _matches(line.names, self.name) or _matches(line.names, self._host)]
        self._revoked = [line.blob for line in marked if line.marker == "@revoked"]
        self._authorities = [line.blob for line in marked if line.marker == "@cert-authority"]

    def prefer(self, algorithms: tuple[str, ...]) -> list[str]:
        """Algorithms with those first that can be verified: else a host with several keys offers one that is not known.

        Certificates are asked for only if the file has an authority for the host.
        """
        known = {algorithm for key in self._keys for algorithm in (_RSA if key.kind == "ssh-rsa" else (key.kind,))}
        if self._authorities:
            return sorted(algorithms, key=lambda name: not name.endswith(CERTIFICATE) and name not in known)
        plain = [name for name in algorithms if not name.endswith(CERTIFICATE)]
        return sorted(plain, key=lambda name: name not in known)

    def verify(self, key: paramiko.PKey) -> None:
        """Return when the key, or the certificate that came with it, is trusted; raise HostKeyRefused otherwise."""
        certificate = HostCertificate(key.public_blob) if key.public_blob else None
        self._refuse_revoked(key, certificate)
        if key.get_base64() in [known.blob for known in self._keys]:
            return
        if certificate is None:
            raise self._refusal(key)
        problem = certificate.problem(self._host, self._authorities)
        if problem:
            raise HostKeyRefused(
                f"the certificate of the host key of {self.name} is refused: {problem}",
                remedy=f"ask the site for a certificate that its authority in {self._path} has signed for this name, "
                f"or for the host key itself, and add the output of `{self._scan}`",
            )

    def _refuse_revoked(self, key: paramiko.PKey, certificate: HostCertificate | None) -> None:
        if key.get_base64() in self._revoked:
            raise HostKeyRefused(f"{self._path} marks the host key of {self.name} as @revoked ({_shown(key)})")
        if certificate and {certificate.authority, certificate.blob} & set(self._revoked):
            raise HostKeyRefused(
                f"{self._path} marks the certificate of the host key of {self.name}, or the authority that signed it, "
                f"as @revoked ({_shown(key)})"
            )

    def _refusal(self, key: paramiko.PKey) -> HostKeyRefused:
        if not self._keys:
            return HostKeyRefused(
                f"the host key of {self.name} is unknown: {self._why_unknown()}; it offers {_shown(key)}",
                remedy="compare the fingerprint with the one that the site publishes, then add the output of "
                f"`{self._scan}`",
                offered=OfferedKey(self.name, key.get_name(), key.get_base64(), key.fingerprint),
            )
        known = ", ".join(sorted({line.kind for line in self._keys}))
        return HostKeyRefused(
            f"the host key of {self.name} has changed: it offers {_shown(key)}, but {self._path} has another key "
            f"({known})",
            remedy="ask the site whether it changed the key, since the connection may be intercepted; only then "
            "replace "
            f"the line by the output of `{self._scan}`",
        )

    def _why_unknown(self) -> str:
        if self._problem:
            return self._problem
        if self._authorities:
            return (
                f"{self._path} has only a @cert-authority line for it, but the host shows no certificate: "
                "the host key itself is needed"
            )
        if self._bare:
            return (
                f"the line for {self._host} in {self._path} has no port, and is for port 22 only: the name to use is "
                f"{self.name}"
            )
        return f"{self._path} has no line for it"

    def _read(self) -> list[_KnownHost]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
            found = unsafe_file(self._path)
        except FileNotFoundError:
            self._problem = f"{self._path} does not exist"
        except OSError as error:
            self._problem = f"{self._path} cannot be read ({error.strerror})"
        else:
            if found:
                raise HostKeyRefused(f"UserKnownHostsFile {self._path} is not used: {found}")
            return [line for line in map(_parse, text.splitlines()) if line]
        return []


class HostCertificate:
    """A certificate that a host shows in place of its key (PROTOCOL.certkeys of OpenSSH)."""

    def __init__(self, shown: paramiko.pkey.PublicBlob) -> None:
        self.blob = base64.b64encode(shown.key_blob).decode()
        self.authority = ""  # the public key that signed it, as known_hosts has keys
        self._problem = "it is no certificate"
        self._certificate: SSHCertificate | None = None
        try:
            identity = load_ssh_public_identity(f"{shown.key_type} {self.blob}".encode())
            if isinstance(identity, SSHCertificate):
                public = identity.signature_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
                self.authority, self._certificate = public.split()[1].decode(), identity
        except (ValueError, UnsupportedAlgorithm) as error:
            self._problem = f"it cannot be read ({error})"

    def problem(self, host: str, authorities: Sequence[str]) -> str:
        """Why the certificate does not vouch for the host, in words; empty if it does."""
        found = self._certificate
        if found is None:
            return self._problem
        if self.authority not in authorities:
            return "no @cert-authority line for this host has the key that signed it"
        if not self._is_signed(found):
            return "its signature is wrong"
        if not self._is_signed_well(found):
            return "it is signed with SHA-1"
        return _statement_problem(found, host)

    @staticmethod
    def _is_signed(certificate: SSHCertificate) -> bool:
        try:
            certificate.verify_cert_signature()
        except (InvalidSignature, ValueError, AssertionError):
            return False
        return True

    def _is_signed_well(self, certificate: SSHCertificate) -> bool:
        """Whether the signature is not one by an RSA key with SHA-1. The blob ends with its name and the signature."""
        key = certificate.signature_key()
        if not isinstance(key, rsa.RSAPublicKey):
            return True
        length = 4 + (key.key_size + 7) // 8
        return base64.b64decode(self.blob)[:-length].endswith(tuple(name.encode() for name in _RSA))


def _statement_problem(certificate: SSHCertificate, host: str) -> str:
    names = [name.decode(errors="replace") for name in certificate.valid_principals]
    if certificate.type is not SSHCertificateType.HOST:
        return "it is a certificate for users"
    if certificate.critical_options:
        options = ", ".join(name.decode(errors="replace") for name in certificate.critical_options)
        return f"it has critical options, which are not known here: {options}"
    if names and host not in [name.lower() for name in names]:  # none means every host
        return f"it is for {', '.join(names)}, and not for {host}"
    now = time.time()
    if now < certificate.valid_after:
        return f"it is valid only from {_date(certificate.valid_after)}"
    if now >= certificate.valid_before:
        return f"it has expired on {_date(certificate.valid_before)}"
    return ""


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


class KnownHostPolicy(paramiko.MissingHostKeyPolicy):
    """Hands the server's key to `KnownHost`: Paramiko's own table stays empty, so that it asks for every host."""

    def __init__(self, known: KnownHost) -> None:
        self._known = known

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Called by Paramiko before any login."""
        del client, hostname
        self._known.verify(key)


def _parse(text: str) -> _KnownHost | None:
    fields = text.split()
    if not fields or fields[0].startswith("#"):
        return None
    if fields[0].startswith("@") and len(fields) >= _MARKED:
        return _KnownHost(fields[0], tuple(fields[1].split(",")), fields[2], fields[3])
    if len(fields) >= _PLAIN:
        return _KnownHost("", tuple(fields[0].split(",")), fields[1], fields[2])
    return None


def _matches(names: tuple[str, ...], name: str) -> bool:
    if any(_one_matches(pattern[1:], name) for pattern in names if pattern.startswith("!")):
        return False
    return any(_one_matches(pattern, name) for pattern in names if not pattern.startswith("!"))


def _one_matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return _hash_matches(pattern, name)
    expression = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _hash_matches(pattern: str, name: str) -> bool:
    try:
        return paramiko.HostKeys.hash_host(name, pattern) == pattern
    except (ValueError, IndexError, AssertionError):  # a damaged line names no host
        return False


def _shown(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"
