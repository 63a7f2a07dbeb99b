"""The files that authenticate clients: loaded as `serve` would, without listening."""

from __future__ import annotations

from collections.abc import Iterator

from remote_slurm.api.access import AccessList
from remote_slurm.api.authentication import Gate, Tokens
from remote_slurm.api.tls import Certificates, certificate
from remote_slurm.config import Config


def try_files(config: Config) -> str:
    """Which there are and can be used; empty where none is named. Raises CannotEncrypt, BadTokenFile or ConfigError."""
    return ", ".join(_each(config))


def _each(config: Config) -> Iterator[str]:
    if config.access:
        Gate(access=AccessList(config.access))
        yield "Access"
    watch, forward = config.watch, config.port_forward
    for block, tls, token_file in (
        ("", config.tls, config.token_file),
        ("Watch.", watch.tls, watch.token_file),
        ("PortForward.", forward.tls, forward.token_file),
    ):
        if tls.enabled:
            Certificates(tls, block)
            yield f"{block}TLS (until {certificate(tls).not_valid_after_utc:%Y-%m-%d})"
        if token_file:
            Tokens(token_file, f"{block}TokenFile")
            yield f"{block}TokenFile"
