"""The credentials of a client of the sidecar, and how it verifies the sidecar."""

from __future__ import annotations

import argparse
import base64
import contextlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.config import TLS, Config  # a shadow pod has little memory


@dataclass(frozen=True, slots=True)
class Credentials:
    """A token, and for HTTPS the trusted authorities and the client certificate; without `tls` those of the system.

    `token_file` is where the token came from.
    """

    token: str = ""
    tls: ssl.SSLContext | None = None
    token_file: Path | None = None

    @property
    def headers(self) -> dict[str, str]:
        """With the token that the file has now: Kubernetes renews the tokens of service accounts."""
        token = self.token
        if self.token_file is not None:
            with contextlib.suppress(RemoteSlurmError):
                token = _token("", self.token_file)
        return {"Authorization": f"Bearer {token}"} if token else {}


def add_credential_options(parser: argparse.ArgumentParser) -> None:
    """--token-file, --ca-file, --cert-file and --key-file."""
    group = parser.add_argument_group("credentials for --url")
    for option, text in (
        ("--token-file", "file whose first line is a token of the sidecar"),
        ("--ca-file", "certificate authorities of the sidecar, in PEM (default: those of the system)"),
        ("--cert-file", "client certificate, in PEM, for a sidecar with TLS.ClientCAFile"),
        ("--key-file", "private key of the client certificate (default: in --cert-file)"),
    ):
        group.add_argument(option, type=Path, metavar="FILE", help=text)
    group.add_argument(
        "--ca-data", metavar="BASE64", help="as --ca-file, but the content in base64, as in certificate-authority-data"
    )


def named(arguments: argparse.Namespace) -> Credentials:
    """Those of the options. Raises RemoteSlurmError with a sentence about a file that is not right."""
    token = _token("--token-file", arguments.token_file) if arguments.token_file else ""
    if arguments.key_file and not arguments.cert_file:
        raise RemoteSlurmError("--key-file goes with --cert-file: a certificate and its key are shown together")
    if arguments.ca_file and arguments.ca_data:
        raise RemoteSlurmError("--ca-file and --ca-data are the same in two forms: use one of them")
    if not (arguments.ca_file or arguments.ca_data or arguments.cert_file):
        return Credentials(token, None, arguments.token_file)
    context = ssl.create_default_context()
    if arguments.ca_file:
        context = _trusting("--ca-file", arguments.ca_file)
    if arguments.ca_data:
        context = _trusting_data(arguments.ca_data)
    if arguments.cert_file:
        _show("--cert-file", context, arguments.cert_file, arguments.key_file)
    return Credentials(token, context, arguments.token_file)


def configured(config: Config) -> Credentials:
    """The credentials for the sidecar with this configuration: both sides use the certificate that it names."""
    return _of_listener("", config.token_file, config.tls)


def configured_for_forwards(config: Config) -> Credentials:
    """Likewise for its PortForward.Port."""
    return _of_listener("PortForward.", config.port_forward.token_file, config.port_forward.tls)


def _of_listener(block: str, token_file: Path | None, tls: TLS) -> Credentials:
    token = _token(f"{block}TokenFile", token_file) if token_file else ""
    if not tls.cert_file:
        return Credentials(token, None, token_file)
    context = _trusting(f"{block}TLS.CertFile", tls.cert_file)
    context.check_hostname = False  # it is asked by its address, and no other certificate is trusted
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if tls.client_ca_file:
        _show(f"{block}TLS.CertFile", context, tls.cert_file, tls.key_file)
    return Credentials(token, context, token_file)


def _token(key: str, path: Path) -> str:
    try:
        lines = path.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise RemoteSlurmError(f"{key} {path} cannot be read: {getattr(error, 'strerror', 'no ASCII')}") from error
    token = next((line.strip() for line in lines if line.strip()), "")
    if not token:
        raise RemoteSlurmError(f"{key} {path} is empty: its first line has to be a token")
    return token


def _trusting(key: str, path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        raise RemoteSlurmError(f"{key} {path} holds no certificate in PEM: {error.strerror}") from error


def _trusting_data(data: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=base64.b64decode(data, validate=True).decode("ascii"))
    except (ValueError, ssl.SSLError) as error:
        raise RemoteSlurmError("--ca-data holds no certificate in PEM, encoded with base64") from error


def _show(named: str, context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    try:
        context.load_cert_chain(str(certificate), str(key) if key else None, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise RemoteSlurmError(
            f"{named} {certificate} cannot be used with the key in {key or certificate}: {error.strerror}"
        ) from error
