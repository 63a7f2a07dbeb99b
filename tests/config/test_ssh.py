"""The block SSH: OpenSSH's words, with OpenSSH's meaning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.config import SSH, Config, JumpHost
from remote_slurm.config.algorithms import Kind, default
from remote_slurm.errors import Problem

Load = Callable[..., Config]
Problems = Callable[..., list[Problem]]

NEEDED = {"HostName": "login.example.org", "User": "hpcuser", "IdentityFile": "/keys/id"}


def block(**keys: str | None) -> str:
    """Write a block SSH with one key in a line, below a first line; None leaves a needed key out."""
    lines = [f"  {key}: {value}" for key, value in (NEEDED | keys).items() if value is not None]
    return "\n".join(["# first line", "SSH:", *lines, ""])


def test_three_keys_are_enough(load: Load) -> None:
    assert load(block(), ssh="").ssh == SSH(
        host_names=("login.example.org",),
        port=22,
        user="hpcuser",
        identity_file=Path("/keys/id"),
        certificate_file=None,
        user_known_hosts_file=Path("/home/me/.ssh/known_hosts"),
        proxy_jump=(),
        connect_timeout=10.0,
        server_alive_interval=15.0,
        identities_only=True,
        config_file=None,
    )


@pytest.mark.parametrize(
    ("key", "text", "attribute", "expected"),
    [
        ("HostName", "login1", "host_names", ("login1",)),
        ("HostName", "[login1, 192.0.2.1, '2001:db8::1']", "host_names", ("login1", "192.0.2.1", "2001:db8::1")),
        ("HostName", '"[2001:db8::1]"', "host_names", ("2001:db8::1",)),
        ("Port", '"2222"', "port", 2222),
        ("User", "user.name", "user", "user.name"),
        ("IdentityFile", "~/.ssh/id_ed25519", "identity_file", Path("/home/me/.ssh/id_ed25519")),
        ("CertificateFile", "/keys/id-cert.pub", "certificate_file", Path("/keys/id-cert.pub")),
        ("PassphraseFile", "~/passphrase", "passphrase_file", Path("/home/me/passphrase")),
        ("BeforeConnect", "step ssh login 'me@example.org'", "before_connect", "step ssh login 'me@example.org'"),
        ("UserKnownHostsFile", "/keys/known_hosts", "user_known_hosts_file", Path("/keys/known_hosts")),
        ("ConnectTimeout", "30", "connect_timeout", 30.0),
        ("ServerAliveInterval", "0", "server_alive_interval", 0.0),
        ("MaxConnectionsPerMinute", "6", "max_connections_per_minute", 6),
        ("IdentitiesOnly", "no", "identities_only", False),
        ("ConfigFile", "~/.ssh/config", "config_file", Path("/home/me/.ssh/config")),
    ],
)
def test_right_value(load: Load, key: str, text: str, attribute: str, expected: Any) -> None:
    assert getattr(load(block(**{key: text}), ssh="").ssh, attribute) == expected


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("HostName", "login1:22", "must be a host name or an address, without user and port, not 'login1:22'"),
        ("HostName", "me@login1", "without user and port"),
        ("HostName", "-oProxyCommand=id", "must be a host name"),
        ("HostName", "login1 login2", "must be a host name"),
        ("HostName", "{a: b}", "must be a list"),
        ("HostName", "[]", "must have at least one entry"),
        ("Port", "0", "must be a whole number from 1 to 65535"),
        ("Port", "ssh", "must be a whole number from 1 to 65535"),
        ("User", "me@login1", "must be a user name"),
        ("User", "-l", "must be a user name"),
        ("User", "two words", "must be a user name"),
        ("IdentityFile", "~other/id", "must begin with / or ~/"),
        ("IdentityFile", "[/a, /b]", "must be a string, not a list"),
        ("ConnectTimeout", "0", "must be a number of seconds from 1"),
        ("ConnectTimeout", "10s", "without a unit"),
        ("MaxConnectionsPerMinute", "0", "must be a whole number from 1 to 600"),
        ("ServerAliveInterval", "-1", "must be a number of seconds from 0"),
        ("IdentitiesOnly", "2", "must be true or false"),
    ],
)
def test_wrong_value(problems: Problems, key: str, text: str, sentence: str) -> None:
    (problem,) = problems(block(**{key: text}), ssh="")
    assert problem.key == f"SSH.{key}"
    assert sentence in problem.message
    assert problem.line == 3 + list(NEEDED | {key: text}).index(key)


def test_a_wrong_host_in_a_list_is_named(problems: Problems) -> None:
    (problem,) = problems(block(HostName="\n  - login1\n  - me@login2"), ssh="")
    assert (problem.key, problem.line) == ("SSH.HostName[1]", 5)


@pytest.mark.parametrize("key", NEEDED)
def test_a_needed_key_is_missing(problems: Problems, key: str) -> None:
    (problem,) = problems(block(**{key: None}), ssh="")
    assert (problem.key, problem.line) == (f"SSH.{key}", 2)
    assert problem.message.startswith("is required: ")


@pytest.mark.parametrize("key", NEEDED)
def test_a_needed_key_is_empty(problems: Problems, key: str) -> None:
    (problem,) = problems(block(**{key: '""'}), ssh="")
    assert (problem.key, problem.line) == (f"SSH.{key}", 3 + list(NEEDED).index(key))
    assert problem.message.startswith("is required: ")


def test_with_other_keys_allowed_no_identity_file_is_needed(load: Load) -> None:
    assert load(block(IdentityFile=None, IdentitiesOnly="false"), ssh="").ssh.identity_file is None


@pytest.mark.parametrize("text", ["SidecarPort: 4000", "SidecarPort: 4000\nSSH:"])
def test_the_block_is_missing(problems: Problems, text: str) -> None:
    (problem,) = problems(text, ssh="")
    assert problem.key == "SSH"
    assert problem.message == "is required: connection to the site"


def test_relative_paths_start_at_the_files_folder(load: Load, tmp_path: Path) -> None:
    ssh = load(block(IdentityFile="keys/id", UserKnownHostsFile="../known_hosts"), ssh="").ssh
    assert ssh.identity_file == tmp_path / "keys/id"
    assert ssh.user_known_hosts_file == tmp_path / "../known_hosts"


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("bastion", (JumpHost("bastion", 22, "hpcuser"),)),
        ("me@bastion.example.org:2222", (JumpHost("bastion.example.org", 2222, "me"),)),
        ("bastion:2222", (JumpHost("bastion", 2222, "hpcuser"),)),
        (
            "a@one,two:23, b@three:24",
            (JumpHost("one", 22, "a"), JumpHost("two", 23, "hpcuser"), JumpHost("three", 24, "b")),
        ),
        ("192.0.2.1:23", (JumpHost("192.0.2.1", 23, "hpcuser"),)),
        ('"[2001:db8::1]"', (JumpHost("2001:db8::1", 22, "hpcuser"),)),
        ('"me@[2001:db8::1]:23"', (JumpHost("2001:db8::1", 23, "me"),)),
        ("none", ()),
        ('""', ()),
    ],
)
def test_proxy_jump(load: Load, text: str, hops: tuple[JumpHost, ...]) -> None:
    assert load(block(ProxyJump=text), ssh="").ssh.proxy_jump == hops


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("2001:db8::1", "an IPv6 address in brackets"),
        ("one,,two", "must be hops like [user@]host[:port]"),
        ("one,", "must be hops like [user@]host[:port]"),
        ("me@", "must be hops like [user@]host[:port]"),
        ("'@one'", "must be hops like [user@]host[:port]"),
        ("'one:'", "must be hops like [user@]host[:port]"),
        ("one:port", "must be hops like [user@]host[:port]"),
        ("ssh://one", "must be hops like [user@]host[:port]"),
        ("'[one]'", "must be a host name or an address"),
        ("one two", "must be a host name or an address"),
        ("a@b@c", "must be hops like [user@]host[:port]"),
        ("-oProxyCommand=id", "must be a host name or an address"),
        ("-l@one", "must be a user name"),
        ("one:0", "must be a whole number from 1 to 65535, not '0'"),
        ("one:65536", "must be a whole number from 1 to 65535, not '65536'"),
        ("[one, two]", "must be a string, not a list"),
    ],
)
def test_wrong_proxy_jump(problems: Problems, text: str, sentence: str) -> None:
    (problem,) = problems(block(ProxyJump=text), ssh="")
    assert (problem.key, problem.line) == ("SSH.ProxyJump", 6)
    assert sentence in problem.message


@pytest.mark.parametrize(
    ("key", "text", "attribute", "expected"),
    [
        ("Ciphers", "aes256-ctr, aes128-ctr", "ciphers", ("aes256-ctr", "aes128-ctr")),
        ("Ciphers", "+aes256-cbc", "ciphers", (*default(Kind.CIPHERS), "aes256-cbc")),
        ("Ciphers", '"-*gcm*,aes192-ctr,chacha20-poly1305@openssh.com"', "ciphers", ("aes128-ctr", "aes256-ctr")),
        ("MACs", "^hmac-sha2-512", "macs", ("hmac-sha2-512", *default(Kind.MACS)[:-1])),
        ("KexAlgorithms", "curve25519-sha256", "kex_algorithms", ("curve25519-sha256",)),
        ("HostKeyAlgorithms", "rsa-sha2-512", "host_key_algorithms", ("rsa-sha2-512",)),
        ("Ciphers", '""', "ciphers", ()),
    ],
)
def test_algorithms(load: Load, key: str, text: str, attribute: str, expected: Any) -> None:
    assert getattr(load(block(**{key: text}), ssh="").ssh, attribute) == expected


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("Ciphers", "aes256-ctr,arcfour", "has 'arcfour', which is not available: must be of aes128-gcm@openssh.com, "),
        ("Ciphers", "-arcfour", "has 'arcfour', which is not available"),
        ("Ciphers", "chacha20-poly1305@openssh.com", "which is not available"),
        ("Ciphers", '"-*"', "leaves no algorithm: at least one of aes128-gcm@openssh.com, "),
        ("Ciphers", "aes256-ctr,", "has '', which is not available"),
        ("MACs", "+umac-64", "has 'umac-64', which is not available: must be of hmac-sha2-256-etm@openssh.com, "),
        ("HostKeyAlgorithms", "+ssh-rsa", "has 'ssh-rsa', which is not available"),
        ("KexAlgorithms", "[a, b]", "must be a string, not a list"),
    ],
)
def test_wrong_algorithms(problems: Problems, key: str, text: str, sentence: str) -> None:
    (problem,) = problems(block(**{key: text}), ssh="")
    assert (problem.key, problem.line) == (f"SSH.{key}", 6)
    assert sentence in problem.message
