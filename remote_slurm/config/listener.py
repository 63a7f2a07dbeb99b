"""Which addresses require authentication: one rule for interLink's port and for Watch.Port."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator

from remote_slurm.config.block import Block, setting
from remote_slurm.config.path_types import Address, ListenPort, LocalPath, is_loopback
from remote_slurm.config.scalar_types import Boolean
from remote_slurm.config.tls import TLS


def requires_authentication(info: ValidationInfo) -> bool:
    """Return whether clients are authenticated, or need not be, or a key about it is invalid and reported already."""
    tls = info.data.get("tls")
    allowed = info.data.get("allow_unauthenticated", "wrong")
    shown = info.data.get("token_file", "wrong") or info.data.get("access")
    return bool(allowed or shown or tls is None or tls.client_ca_file)


class Watch(Block):
    """A second TCP port, for people and Prometheus: /ui, /metrics, /healthz and /readyz, and nothing else."""

    port: ListenPort | None = setting(
        None,
        "Second TCP port, which serves /ui, /metrics, /healthz and /readyz only. 0 selects a free port. Empty: no "
        "second port.",
    )
    tls: TLS = setting(TLS(), "HTTPS on the second port.", key="TLS")
    token_file: LocalPath | None = setting(
        None, "Local path of the bearer tokens for the second port, in the format of TokenFile."
    )
    allow_unauthenticated: Boolean = setting(
        default=False,
        description="Allow unauthenticated access to the second port on a non-loopback address. Anyone who "
        "can connect can read the logs of all pods.",
    )
    bind_address: Address = setting(
        "127.0.0.1",
        "Address of the second port. A non-loopback address requires Watch.TokenFile, Watch.TLS.ClientCAFile or "
        "Watch.AllowUnauthenticated: true.",
    )

    @field_validator("bind_address")
    @classmethod
    def _not_for_everybody(cls, address: str, info: ValidationInfo) -> str:
        if is_loopback(address) or requires_authentication(info):
            return address
        raise ValueError(
            f"{address} is reachable from other machines, where any client could read the logs of all pods: use "
            "127.0.0.1, "
            "or set Watch.TokenFile or Watch.TLS.ClientCAFile, or Watch.AllowUnauthenticated: true if a firewall "
            "or proxy "
            "restricts access"
        )
