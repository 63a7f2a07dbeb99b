"""Keys for the ports and sockets of the sidecar, and for the authentication of clients."""

from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from remote_slurm.config.block import KeyGroup, setting
from remote_slurm.config.listener import Watch, requires_authentication
from remote_slurm.config.path_types import Address, ListenPort, LocalPath, SocketMode, SocketPath, is_loopback
from remote_slurm.config.port_forward import PortForward
from remote_slurm.config.scalar_types import Boolean, Bytes
from remote_slurm.config.tls import TLS


class ListeningKeys(KeyGroup):
    """Where to listen, and which clients to accept."""

    title: ClassVar[str] = "Listening and authentication"

    sidecar_port: ListenPort = setting(
        4000, "TCP port for interLink. 0 selects a free port.", environment="SIDECARPORT"
    )
    socket: SocketPath | None = setting(
        None, "Unix socket to listen on instead of a TCP port, as unix:///path/to/socket."
    )
    tls: TLS = Field(default_factory=TLS, alias="TLS", description="HTTPS on the TCP port.")
    token_file: LocalPath | None = setting(
        None,
        "Local path of bearer tokens, one per line. Clients must send `Authorization: Bearer <token>`. The file "
        "is read again when it changes.",
    )
    access: LocalPath | None = setting(
        None,
        "Local path of a file that lists which clients may use which operations on pods of which namespaces. It "
        "also applies to Watch.Port, and is read again when it changes. Tokens in TokenFile still allow all "
        "operations.",
    )
    allow_unauthenticated: Boolean = setting(
        default=False,
        description="Allow unauthenticated access on a non-loopback address. Anyone who can connect can run "
        "commands at the site.",
    )
    socket_mode: SocketMode = setting(
        "0600",
        "File mode of Socket; 0660 also admits its group. A mode that admits all users requires TokenFile, Access "
        "or AllowUnauthenticated: true.",
    )
    bind_address: Address = setting(
        "127.0.0.1",
        "Address to listen on. A non-loopback address requires TokenFile, Access, TLS.ClientCAFile or "
        "AllowUnauthenticated: true.",
    )
    watch: Watch = Field(default_factory=Watch, description="Second TCP port, for browsers and Prometheus.")
    port_forward: PortForward = Field(
        default_factory=PortForward, description="TCP port for `remote-slurm port-forward`."
    )
    enable_exec: Boolean = setting(
        default=False,
        description="Let clients run commands in containers, as `remote-slurm exec`, `remote-slurm cp` and clients "
        "of `/exec` do. It applies to pods that are created from then on.",
    )
    max_request_size: Bytes = setting(
        32 << 20,
        "Maximum size of a request, as a quantity. A create request holds the ConfigMaps and Secrets of a pod, "
        "each up to 1.5 MiB, once for each container that mounts them. The sidecar needs up to 15 times as much "
        "memory.",
    )

    @field_validator("tls")
    @classmethod
    def _on_tcp(cls, tls: TLS, info: ValidationInfo) -> TLS:
        if tls.enabled and info.data.get("socket"):
            raise ValueError("cannot be combined with Socket: SocketMode restricts access to the socket")
        return tls

    @field_validator("socket_mode")
    @classmethod
    def _not_for_everybody(cls, mode: str, info: ValidationInfo) -> str:
        if not int(mode, 8) & 0o002 or requires_authentication(info):
            return mode
        raise ValueError(
            f"{mode} allows every user of this machine to run commands at the site as SSH.User: use 0660 and a "
            "group, or "
            "set TokenFile, or AllowUnauthenticated: true if something else restricts access"
        )

    @field_validator("bind_address")
    @classmethod
    def _only_this_machine(cls, address: str, info: ValidationInfo) -> str:
        if info.data.get("socket", "wrong") or is_loopback(address) or requires_authentication(info):
            return address
        raise ValueError(
            f"{address} is reachable from other machines, where any client could run commands at the site as "
            "SSH.User: use "
            "127.0.0.1 or Socket, or set TokenFile or TLS.ClientCAFile, or AllowUnauthenticated: true if a firewall or "
            "proxy restricts access"
        )

    @field_validator("port_forward")
    @classmethod
    def _has_clients(cls, block: PortForward, info: ValidationInfo) -> PortForward:
        shown = block.token_file or block.tls.client_ca_file or block.token_review.audiences
        if block.port is None or shown or info.data.get("access", "wrong"):
            return block
        raise ValueError(
            "requires PortForward.TokenFile, .TokenReview, .TLS.ClientCAFile or Access: clients of PortForward.Port "
            "reach programs of all pods, and are never admitted unauthenticated"
        )
