"""The block SSH: how the site is reached, in OpenSSH's own words (manual page ssh_config)."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from remote_slurm.config.block import Block, setting
from remote_slurm.config.places import Host, LocalPath, Login, Port, host, login
from remote_slurm.config.values import Flag, Words, line_of_text, number, one_or_more, seconds, shown

_SSH_PORT = 22
_HOP = re.compile(r"(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^@:\[\]]+)(?::(?P<port>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class JumpHost:
    """One hop of ProxyJump; inside an SSH block, a hop without a user has SSH.User."""

    host: str
    port: int = _SSH_PORT
    user: str = ""


def jump_host(hop: str) -> JumpHost:
    """Read `[user@]host[:port]`, with an IPv6 address in brackets."""
    found = _HOP.fullmatch(hop.strip())
    if not found:
        raise ValueError(
            f"must be hops like [user@]host[:port], separated by commas, an IPv6 address in brackets, not {shown(hop)}"
        )
    return JumpHost(
        host=host(found["host"]),
        port=number(1, 65535)(found["port"] or _SSH_PORT),
        user=login(found["user"]) if found["user"] else "",
    )


def jump_hosts(value: object) -> Any:
    """Read the hops in the order in which they are passed; `none` means none, as in OpenSSH."""
    if isinstance(value, tuple):
        return value
    hops = line_of_text(value)
    return () if hops.strip() == "none" else tuple(jump_host(hop) for hop in hops.split(","))


class SSH(Block):
    """How the site is reached; keys, and what they mean, are those of ssh_config(5)."""

    host_names: Annotated[tuple[Host, ...], BeforeValidator(one_or_more)] = Field(
        alias="HostName",
        description="The login node, or a list of them: the next one is used when one cannot be reached.",
    )
    port: Port = setting(_SSH_PORT, "The port of sshd on the login nodes.")
    user: Login = Field(description="The account at the site that all jobs run as.")
    identities_only: Flag = setting(
        default=True,
        description="Use no other key than IdentityFile: no agent, no keys from the home directory.",
    )
    identity_file: LocalPath | None = setting(
        None, "The private key, on this machine. Required unless IdentitiesOnly is false."
    )
    certificate_file: LocalPath | None = setting(
        None, "The certificate for the key, where the site signs keys, on this machine."
    )
    passphrase_file: LocalPath | None = setting(
        None, "The file that holds the passphrase of IdentityFile, in its first line, where the key has one."
    )
    before_connect: Words = setting(
        "",
        "A command on this machine that is run before each connection is made, for sites that issue short-lived keys "
        "or certificates: words, of which no shell makes anything else. It has a minute, and 0 as its exit code.",
    )
    user_known_hosts_file: LocalPath = setting(
        "~/.ssh/known_hosts",
        "The host keys that are trusted, on this machine. A host whose key is not in it is refused, always.",
    )
    proxy_jump: Annotated[tuple[JumpHost, ...], BeforeValidator(jump_hosts)] = setting(
        (), "The hosts to pass through, in order: [user@]host[:port], separated by commas."
    )
    connect_timeout: Annotated[float, BeforeValidator(seconds(1))] = setting(
        10.0, "Seconds until a connection that is not there yet counts as failed."
    )
    server_alive_interval: Annotated[float, BeforeValidator(seconds(0))] = setting(
        15.0, "Seconds between two signs of life that are asked of the server; 0 asks for none."
    )
    max_connections_per_minute: Annotated[int, BeforeValidator(number(1, 600))] = setting(
        30,
        "How many connections are tried within a minute at most, to all login nodes together: sites ban who knocks "
        "too often.",
    )
    config_file: LocalPath | None = setting(None, "An ssh_config to read, on this machine; none by default.")

    @field_validator("identity_file")
    @classmethod
    def _a_key_is_named(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None and info.data.get("identities_only", False):
            raise ValueError("is required: the path of the private key (or IdentitiesOnly: false to use an agent)")
        return path

    @field_validator("proxy_jump")
    @classmethod
    def _hops_have_a_user(cls, hops: tuple[JumpHost, ...], info: ValidationInfo) -> tuple[JumpHost, ...]:
        return tuple(hop if hop.user else replace(hop, user=info.data.get("user", "")) for hop in hops)
