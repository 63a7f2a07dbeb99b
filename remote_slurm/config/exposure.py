"""Where to listen, and who may reach it: the same rule for interLink's port and for the one of those who watch."""

from __future__ import annotations

from pydantic import ValidationInfo, field_validator

from remote_slurm.config.block import Block, setting
from remote_slurm.config.places import Address, ListenPort, LocalPath, is_loopback
from remote_slurm.config.tls import TLS
from remote_slurm.config.values import Flag


def keeps_strangers_out(info: ValidationInfo) -> bool:
    """Whether something does, is said to, or is wrong and so was named already."""
    tls = info.data.get("tls")
    allowed = info.data.get("allow_unauthenticated", "wrong")
    return bool(allowed or info.data.get("token_file", "wrong") or tls is None or tls.client_ca_file)


class Watch(Block):
    """A second TCP port, for people and Prometheus: /ui, /metrics, /healthz and /readyz, and nothing else."""

    port: ListenPort | None = setting(
        None,
        "A second TCP port for /ui, /metrics, /healthz and /readyz alone, where interLink's own must stay on this "
        "machine; 0 takes any free one, empty: none.",
    )
    tls: TLS = setting(TLS(), "HTTPS on this port.", key="TLS")
    token_file: LocalPath | None = setting(None, "Who asks here must show a token of this file, as for TokenFile.")
    allow_unauthenticated: Flag = setting(default=False, description="Let everybody who reaches this port look.")
    bind_address: Address = setting(
        "127.0.0.1",
        "The address of this port. One that other machines can reach needs a Watch.TokenFile, Watch.TLS.ClientCAFile "
        "or Watch.AllowUnauthenticated: true.",
    )

    @field_validator("bind_address")
    @classmethod
    def _not_for_everybody(cls, address: str, info: ValidationInfo) -> str:
        if is_loopback(address) or keeps_strangers_out(info):
            return address
        raise ValueError(
            f"{address} can be reached from other machines, and whoever reaches the port can read the logs of all "
            "pods: use 127.0.0.1, set a Watch.TokenFile or Watch.TLS.ClientCAFile, or Watch.AllowUnauthenticated: true "
            "where something else keeps strangers out"
        )
