"""The block TLS of SlurmConfig.yaml: encryption of the sidecar's TCP port, and its client certificates."""

from __future__ import annotations

import ssl
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, field_validator

from remote_slurm.config.block import Block, setting
from remote_slurm.config.path_types import LocalPath
from remote_slurm.config.scalar_types import line_of_text, one_of
from remote_slurm.config.subjects import Subject

_LEAST_BITS = 128


class Protocol(StrEnum):
    """The protocol versions that are still sound, as MinProtocol of openssl.cnf(5) names them."""

    TLS_1_2 = "TLSv1.2"
    TLS_1_3 = "TLSv1.3"


def openssl_ciphers(value: object) -> str:
    """Accept a cipher string of openssl-ciphers(1) of which this OpenSSL has each part, and no weak cipher."""
    text = line_of_text(value).strip()
    parts = [part for part in text.replace(",", ":").replace(" ", ":").split(":") if part]
    unknown = [part for part in parts if part[0] not in "!-+@" and not _ciphers(part)]
    found = _ciphers(text)
    if unknown or not found:
        raise ValueError(
            f"must be ciphers as openssl-ciphers(1) names them, such as ECDHE+AESGCM; OpenSSL here has no "
            f"{unknown[0] if unknown else text}"
        )
    for cipher in found:
        if cipher["strength_bits"] < _LEAST_BITS or cipher["auth"] == "auth-null":
            raise ValueError(
                f"must not allow the weak cipher {cipher['name']}: add !{cipher['name']} or remove its name"
            )
    return text


def _ciphers(text: str) -> list[dict[str, Any]]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the cipher suites of TLS 1.3 are always in the list
    try:
        context.set_ciphers(text)
    except ssl.SSLError:
        return []
    return [dict(cipher) for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]


class TLS(Block):
    """Certificates of the TCP port, all in PEM; files that are renewed on disk serve the next connection."""

    cert_file: LocalPath | None = setting(
        None, "Local path of the server certificate with its chain, in PEM. If set, the port accepts HTTPS only."
    )
    key_file: LocalPath | None = setting(
        None, "Local path of the private key of CertFile, in PEM, without a passphrase."
    )
    client_ca_file: LocalPath | None = setting(
        None,
        "Local path of certificate authorities, in PEM. If set, clients must present a certificate that one of "
        "these authorities has signed.",
    )
    allowed_subjects: tuple[Subject, ...] = setting(
        (),
        "Client certificates to accept, as patterns of the subject in the format of RFC 4514 or of an alternative "
        'name: ["CN=interlink,O=Example", "URI:spiffe://example.org/interlink"]. Empty: all certificates that '
        "ClientCAFile has signed.",
    )
    crl_file: LocalPath | None = setting(
        None,
        "Local path of certificate revocation lists, in PEM. A client certificate is refused if the file has no "
        "current list of its authority.",
    )
    min_protocol: Annotated[Protocol, BeforeValidator(one_of(Protocol))] = setting(
        Protocol.TLS_1_2, "Oldest protocol version to accept: TLSv1.2 or TLSv1.3."
    )
    cipher_string: Annotated[str, BeforeValidator(openssl_ciphers)] = setting(
        "ECDHE+AESGCM:ECDHE+CHACHA20",
        "Ciphers for TLS 1.2, in the format of openssl-ciphers(1). For TLS 1.3, set Ciphersuites in a file that "
        "OPENSSL_CONF names.",
    )

    @property
    def enabled(self) -> bool:
        """Whether the port speaks HTTPS."""
        return self.cert_file is not None

    @field_validator("key_file")
    @classmethod
    def _comes_with_a_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("cert_file") is None):
            raise ValueError("must be set together with TLS.CertFile")
        return key

    @field_validator("client_ca_file")
    @classmethod
    def _needs_encryption(cls, authorities: Path | None, info: ValidationInfo) -> Path | None:
        if authorities is not None and info.data.get("cert_file", "wrong") is None:
            raise ValueError("requires TLS.CertFile and TLS.KeyFile")
        return authorities

    @field_validator("allowed_subjects", "crl_file")
    @classmethod
    def _needs_authorities(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("client_ca_file", "wrong") is None:
            raise ValueError("requires TLS.ClientCAFile")
        return value
