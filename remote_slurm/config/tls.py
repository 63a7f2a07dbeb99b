"""The block TLS of SlurmConfig.yaml: how the sidecar's TCP port is encrypted, and who may use it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationInfo, field_validator

from remote_slurm.config.block import Block, setting
from remote_slurm.config.places import LocalPath


class TLS(Block):
    """Certificates of the TCP port, all in PEM; files that are renewed on disk serve the next connection."""

    cert_file: LocalPath | None = setting(
        None, "The sidecar's certificate with the chain below it, on this machine: the port then speaks HTTPS only."
    )
    key_file: LocalPath | None = setting(None, "The certificate's private key, without a passphrase, on this machine.")
    client_ca_file: LocalPath | None = setting(
        None, "Only clients with a certificate that one of the authorities in this file has signed get an answer."
    )

    @property
    def enabled(self) -> bool:
        """Whether the port speaks HTTPS."""
        return self.cert_file is not None

    @field_validator("key_file")
    @classmethod
    def _comes_with_a_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("cert_file") is None):
            raise ValueError("goes with TLS.CertFile: a certificate and its key are set together")
        return key

    @field_validator("client_ca_file")
    @classmethod
    def _needs_encryption(cls, authorities: Path | None, info: ValidationInfo) -> Path | None:
        if authorities is not None and info.data.get("cert_file", "wrong") is None:
            raise ValueError("needs TLS.CertFile and TLS.KeyFile: clients are asked for certificates over HTTPS only")
        return authorities
