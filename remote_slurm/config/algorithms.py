"""Algorithms of an SSH connection, named and combined as in ssh_config(5): which are offered by default, which exist.

Paramiko implements fewer than OpenSSH. It is imported only when a list is read: most commands need none.
"""

import re
from collections.abc import Callable
from enum import Enum
from fnmatch import fnmatchcase

from remote_slurm.config.scalar_types import line_of_text, shown

# The same key exchange under the name of RFC 8731, which Paramiko does not know
KEX_ALIASES = {"curve25519-sha256": "curve25519-sha256@libssh.org"}

_CERTIFICATE = "-cert-v01@openssh.com"
_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
_SECURITY_KEYS = ("sk-ssh-ed25519", "sk-ecdsa-sha2-nistp256")
_RSA_KEYS = ("rsa-sha2-512", "rsa-sha2-256")


class Kind(Enum):
    """A keyword of ssh_config, and where Paramiko keeps its algorithms."""

    CIPHERS = ("Ciphers", "_cipher_info")
    MACS = ("MACs", "_mac_info")
    KEX = ("KexAlgorithms", "_kex_info")
    HOST_KEYS = ("HostKeyAlgorithms", "_key_info")

    def __init__(self, keyword: str, table: str) -> None:
        self.keyword = keyword
        self.table = table


# What OpenSSH 10 offers by default, in its order, without the MACs that use SHA-1
_OPENSSH = {
    Kind.CIPHERS: (
        "chacha20-poly1305@openssh.com",
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "aes128-ctr",
        "aes192-ctr",
        "aes256-ctr",
    ),
    Kind.MACS: (
        "umac-64-etm@openssh.com",
        "umac-128-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "umac-64@openssh.com",
        "umac-128@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
    ),
    Kind.KEX: (
        "mlkem768x25519-sha256",
        "sntrup761x25519-sha512",
        "sntrup761x25519-sha512@openssh.com",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group14-sha256",
    ),
    Kind.HOST_KEYS: (
        *(f"{key}{_CERTIFICATE}" for key in (*_KEYS, *_SECURITY_KEYS, *_RSA_KEYS)),
        *_KEYS,
        *(f"{key}@openssh.com" for key in _SECURITY_KEYS),
        *_RSA_KEYS,
    ),
}


def available(kind: Kind) -> tuple[str, ...]:
    """The algorithms that can be named, with those of the default first."""
    import paramiko

    implemented = set(getattr(paramiko.Transport, kind.table))
    if kind is Kind.KEX:
        implemented |= {name for name, same in KEX_ALIASES.items() if same in implemented}
    default = [name for name in _OPENSSH[kind] if name in implemented]
    return (*default, *sorted(implemented - set(default)))


def default(kind: Kind) -> tuple[str, ...]:
    """The algorithms that are offered unless the configuration names others."""
    implemented = available(kind)
    return tuple(name for name in _OPENSSH[kind] if name in implemented)


def algorithms(kind: Kind) -> Callable[[object], tuple[str, ...]]:
    """Read a list as ssh_config(5) has it: names, or changes to the default after `+`, `-` or `^`."""

    def parse(value: object) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        sign, names = _split(line_of_text(value))
        also = _OPENSSH[kind] if sign == "-" else ()
        unknown = [name for name in names if name not in available(kind) + also and not _is_pattern(sign, name)]
        if unknown:
            raise ValueError(
                f"has {', '.join(map(shown, unknown))}, which is not available: must be of {', '.join(available(kind))}"
            )
        return _combined(kind, sign, names)

    return parse


def usable(kind: Kind, text: str) -> tuple[str, ...]:
    """Read such a list from an ssh_config that OpenSSH reads too, without the algorithms that only OpenSSH has."""
    sign, names = _split(text)
    return _combined(kind, sign, tuple(name for name in names if sign == "-" or name in available(kind)))


def _split(text: str) -> tuple[str, tuple[str, ...]]:
    text = text.strip()
    sign = text[:1] if text.startswith(("+", "-", "^")) else ""
    return sign, tuple(dict.fromkeys(re.split(r"\s*,\s*", text.removeprefix(sign).strip())))


def _is_pattern(sign: str, name: str) -> bool:
    return sign == "-" and bool(set(name) & set("*?"))


def _combined(kind: Kind, sign: str, names: tuple[str, ...]) -> tuple[str, ...]:
    usual = default(kind)
    match sign:
        case "+":
            result = (*usual, *(name for name in names if name not in usual))
        case "^":
            result = (*names, *(name for name in usual if name not in names))
        case "-":
            result = tuple(name for name in usual if not any(fnmatchcase(name, pattern) for pattern in names))
        case _:
            result = names
    if not result:
        raise ValueError(f"leaves no algorithm: at least one of {', '.join(available(kind))} is needed")
    return result
