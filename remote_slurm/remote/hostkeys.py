"""Strict host keys: what UserKnownHostsFile says about a host, and the refusal of everything else.

The file is read here and not by Paramiko, which takes one key per type and host, knows no patterns, and skips the
marked lines (`@revoked`, `@cert-authority`) without a word. Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import paramiko

from remote_slurm.errors import HostKeyRefused

_SSH_PORT = 22
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_MARKED = 4
_PLAIN = 3


@dataclass(frozen=True, slots=True)
class _Line:
    marker: str
    names: tuple[str, ...]
    kind: str
    blob: str


class KnownHost:
    """What the file knows of one host and port; read anew for every connection, since people correct the file."""

    def __init__(self, path: Path, host: str, port: int) -> None:
        self.name = (host if port == _SSH_PORT else f"[{host}]:{port}").lower()
        self._path = path
        self._remedy = f"ssh-keyscan -p {port} {host}"
        self._problem = ""
        lines = [line for line in self._read() if _matches(line.names, self.name)]
        self._keys = [line for line in lines if not line.marker]
        self._revoked = [line.blob for line in lines if line.marker == "@revoked"]
        self._authorities = any(line.marker == "@cert-authority" for line in lines)

    def prefer(self, algorithms: tuple[str, ...]) -> list[str]:
        """Algorithms with those of known keys first: else a host with several keys offers one that is not known."""
        known = {algorithm for key in self._keys for algorithm in (_RSA if key.kind == "ssh-rsa" else (key.kind,))}
        return sorted(algorithms, key=lambda algorithm: algorithm not in known)

    def verify(self, key: paramiko.PKey) -> None:
        """Return when the key is trusted; raise HostKeyRefused otherwise."""
        offered = key.get_base64()
        if offered in self._revoked:
            raise HostKeyRefused(f"{self._path} marks the host key of {self.name} as @revoked ({_shown(key)})")
        if offered not in [known.blob for known in self._keys]:
            raise HostKeyRefused(self._refusal(key))

    def _refusal(self, key: paramiko.PKey) -> str:
        if not self._keys:
            return (
                f"the host key of {self.name} is not known: it offers {_shown(key)}, and {self._looked()}. "
                "Compare the fingerprint with the one that the site publishes, then add what "
                f"`{self._remedy}` prints"
            )
        known = ", ".join(sorted({line.kind for line in self._keys}))
        return (
            f"the host key of {self.name} is not the known one: it offers {_shown(key)}, and "
            f"{self._path} has another ({known}). Either the site changed it or somebody is in between: ask "
            f"the site, and only then replace the line by what `{self._remedy}` prints"
        )

    def _looked(self) -> str:
        if self._problem:
            return self._problem
        if self._authorities:
            return (
                f"{self._path} has only a @cert-authority line for it, which cannot be used: "
                "the host key itself is needed"
            )
        return f"{self._path} has no line for it"

    def _read(self) -> list[_Line]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            self._problem = f"{self._path} does not exist"
        except OSError as error:
            self._problem = f"{self._path} cannot be read ({error.strerror})"
        else:
            return [line for line in map(_parse, text.splitlines()) if line]
        return []


class KnownHostPolicy(paramiko.MissingHostKeyPolicy):
    """Hands the server's key to `KnownHost`: Paramiko's own table stays empty, so that it asks for every host."""

    def __init__(self, known: KnownHost) -> None:
        self._known = known

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Called by Paramiko before any login."""
        del client, hostname
        self._known.verify(key)


def _parse(text: str) -> _Line | None:
    fields = text.split()
    if not fields or fields[0].startswith("#"):
        return None
    if fields[0].startswith("@") and len(fields) >= _MARKED:
        return _Line(fields[0], tuple(fields[1].split(",")), fields[2], fields[3])
    if len(fields) >= _PLAIN:
        return _Line("", tuple(fields[0].split(",")), fields[1], fields[2])
    return None


def _matches(names: tuple[str, ...], name: str) -> bool:
    if any(_one_matches(pattern[1:], name) for pattern in names if pattern.startswith("!")):
        return False
    return any(_one_matches(pattern, name) for pattern in names if not pattern.startswith("!"))


def _one_matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return _hash_matches(pattern, name)
    expression = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _hash_matches(pattern: str, name: str) -> bool:
    try:
        return paramiko.HostKeys.hash_host(name, pattern) == pattern
    except (ValueError, IndexError, AssertionError):  # a damaged line names no host
        return False


def _shown(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"
