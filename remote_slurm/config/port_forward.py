"""The block PortForward: who may reach which ports of pods, and over which address of the sidecar."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator

from remote_slurm.config.block import Block, setting
from remote_slurm.config.path_types import Address, ListenPort, LocalPath
from remote_slurm.config.scalar_types import Boolean, OneLine, line_of_text, number, one_of, seconds, shown
from remote_slurm.config.tls import TLS

_port = number(1, 65535)


class Via(StrEnum):
    """How forwarded connections reach a node: from the login node, through a step of the job, or what works."""

    AUTO = "auto"
    SSH = "ssh"
    SRUN = "srun"


def port_range(value: object) -> str:
    """Accept a port, or a range of ports such as 8000-8999."""
    text = line_of_text(value).strip() if isinstance(value, str) else str(value)
    found = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if not found:
        raise ValueError(f"must be ports such as 8888, or ranges such as 8000-8999, not {shown(value)}")
    first, last = _port(found[1]), _port(found[2] or found[1])
    if first > last:
        raise ValueError(f"must be ranges from the lower port to the higher one, such as {last}-{first}, not {text}")
    return text


PortRange = Annotated[str, BeforeValidator(port_range)]


class TokenReview(Block):
    """Admits Kubernetes service accounts, whose tokens the Kubernetes API reviews."""

    audiences: tuple[OneLine, ...] = setting(
        (),
        "Audiences of projected tokens of Kubernetes service accounts: [remote-slurm]. A client with such a token "
        "reaches pods of the namespace of its service account only. Requires CUSTOMKUBECONF, whose account must be "
        "allowed to create tokenreviews. Empty: no service account is admitted.",
    )
    shadow_namespaces: Boolean = setting(
        default=False,
        description="Whether a service account of the namespace NAME-wstunnel also reaches pods of the namespace NAME: "
        "interLink creates their shadow pods there. Anyone who can create pods in NAME-wstunnel reaches the same.",
    )


class PortForward(Block):
    """A TCP port of its own, which forwards connections to ports of running pods and does nothing else."""

    port: ListenPort | None = setting(
        None,
        "TCP port for `remote-slurm port-forward`, which serves nothing else. 0 selects a free port. Empty: no port "
        "of a pod can be reached.",
    )
    bind_address: Address = setting("127.0.0.1", "Address of the port.")
    tls: TLS = setting(TLS(), "HTTPS on the port.", key="TLS")
    token_file: LocalPath | None = setting(
        None,
        "Local path of bearer tokens, in the format of TokenFile. A client with one of them reaches the pods of all "
        "namespaces. It, Access, TLS.ClientCAFile or TokenReview is required, whatever the address; entries of Access "
        "need the verb forward.",
    )
    token_review: TokenReview = setting(
        TokenReview(), "Kubernetes service accounts that are admitted, such as those of shadow pods."
    )
    allowed_ports: tuple[PortRange, ...] = setting(
        ("1024-65535",),
        "Ports of pods that can be reached, as ports and ranges: [8888, 8000-8999]. Every program on the pod's node "
        "that listens on such a port can be reached, as from any other job on the node.",
    )
    via: Annotated[Via, BeforeValidator(one_of(Via))] = setting(
        Via.AUTO,
        "How connections reach the node. ssh: the login node connects to the node, which its sshd must allow. srun: a "
        "step of the job connects to the port on the node, which needs perl or python3 there. auto: ssh, and srun if "
        "the login node does not forward, or if the port cannot be reached from it.",
    )
    max_connections: Annotated[int, BeforeValidator(number(1, 500))] = setting(
        200, "Maximum number of forwarded connections at a time."
    )
    max_connections_per_pod: Annotated[int, BeforeValidator(number(1, 500))] = setting(
        50, "Maximum number of forwarded connections to one pod at a time."
    )
    idle_seconds: Annotated[float, BeforeValidator(seconds(1))] = setting(
        60.0,
        "Seconds after which the SSH connection for forwarded connections is closed when it has none, and likewise the "
        "step of a job. It is a second connection to the site beside that of all other operations.",
    )

    def allows(self, port: int) -> bool:
        """Whether clients may reach this port of a pod."""
        ranges = (each.partition("-") for each in self.allowed_ports)
        return any(int(first) <= port <= int(last or first) for first, _, last in ranges)
