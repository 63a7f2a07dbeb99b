"""The block SSH: how the site is reached, in OpenSSH's own words (manual page ssh_config)."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_serializer, field_validator

from remote_slurm.config.algorithms import Kind, algorithms
from remote_slurm.config.block import Block, setting
from remote_slurm.config.path_types import Host, LocalPath, Login, Port, host, login
from remote_slurm.config.scalar_types import Boolean, Words, line_of_text, number, one_or_more, seconds, shown

_SSH_PORT = 22
_HOP = re.compile(r"(?:(?P<user>[^@]+)@)?(?P<host>\[[^]]+\]|[^@:\[\]]+)(?::(?P<port>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class JumpHost:
    """One hop of ProxyJump; inside an SSH block, a hop without a user has SSH.User."""

    host: str
    port: int = _SSH_PORT
    user: str = ""

    def __str__(self) -> str:
        """Return it as `jump_host` reads it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{f'{self.user}@' if self.user else ''}{host}{f':{self.port}' if self.port != _SSH_PORT else ''}"


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


def _algorithms(what: str) -> str:
    return (
        f"{what} offered to login nodes and jump hosts, separated by commas. A leading `+` adds to the default, `-` "
        "removes from it, `^` puts first. Default: OpenSSH's, as far as Paramiko implements it, without SHA-1, MD5 and "
        "CBC."
    )


class SSH(Block):
    """How the site is reached; keys, and what they mean, are those of ssh_config(5)."""

    host_names: Annotated[tuple[Host, ...], BeforeValidator(one_or_more)] = Field(
        alias="HostName",
        description="Login node, or a list of login nodes. If a connection fails, the sidecar tries the next "
        "login node.",
    )
    port: Port = setting(_SSH_PORT, "Port of sshd on the login nodes.")
    user: Login = Field(description="Account at the site that runs all jobs.")
    identities_only: Boolean = setting(
        default=True,
        description="Use IdentityFile only. If false, also try the SSH agent and the keys in the home directory.",
    )
    identity_file: LocalPath | None = setting(
        None, "Local path of the private key. Required unless IdentitiesOnly is false."
    )
    certificate_file: LocalPath | None = setting(
        None, "Local path of the certificate for IdentityFile, for sites that sign keys."
    )
    passphrase_file: LocalPath | None = setting(
        None, "Local path of a file whose first line is the passphrase of IdentityFile."
    )
    before_connect: Words = setting(
        "",
        "Local command to run before each connection, such as one that renews a short-lived key. It runs without "
        "a shell, and must return exit code 0 within 60 s.",
    )
    user_known_hosts_file: LocalPath = setting(
        "~/.ssh/known_hosts",
        "Local path of the trusted host keys. Unknown host keys are always refused.",
    )
    proxy_jump: Annotated[tuple[JumpHost, ...], BeforeValidator(jump_hosts)] = setting(
        (), "Jump hosts in order, as [user@]host[:port], separated by commas. The default user is SSH.User."
    )
    connect_timeout: Annotated[float, BeforeValidator(seconds(1))] = setting(
        10.0, "Seconds after which a connection attempt fails."
    )
    server_alive_interval: Annotated[float, BeforeValidator(seconds(0))] = setting(
        15.0, "Seconds between two keepalive requests to the server; 0 sends none."
    )
    max_connections_per_minute: Annotated[int, BeforeValidator(number(1, 600))] = setting(
        30,
        "Maximum number of connection attempts per minute, for all login nodes together. Sites ban addresses that "
        "connect too often.",
    )
    config_file: LocalPath | None = setting(
        None, "Local path of an ssh_config to read. By default, no ssh_config is read."
    )
    ciphers: Annotated[tuple[str, ...], BeforeValidator(algorithms(Kind.CIPHERS))] = setting((), _algorithms("Ciphers"))
    macs: Annotated[tuple[str, ...], BeforeValidator(algorithms(Kind.MACS))] = setting(
        (), _algorithms("Message authentication codes"), key="MACs"
    )
    kex_algorithms: Annotated[tuple[str, ...], BeforeValidator(algorithms(Kind.KEX))] = setting(
        (), _algorithms("Key exchange algorithms")
    )
    host_key_algorithms: Annotated[tuple[str, ...], BeforeValidator(algorithms(Kind.HOST_KEYS))] = setting(
        (), _algorithms("Host key algorithms")
    )

    @field_serializer("proxy_jump")
    def _as_hops(self, hops: tuple[JumpHost, ...]) -> str:
        return ",".join(map(str, hops))

    @field_serializer("ciphers", "macs", "kex_algorithms", "host_key_algorithms")
    def _as_words(self, words: tuple[str, ...]) -> str:
        return ",".join(words)

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
