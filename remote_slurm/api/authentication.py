"""Who may ask: a token of TokenFile, where one is configured; and never a web page of somebody else.

The token comes as `Authorization: Bearer`. A browser cannot be told to send that, so the page and what it asks for also
take `Basic`, with any name and the token as the password; nothing that changes anything does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from remote_slurm.errors import RemoteSlurmError
from remote_slurm.events import event, warn

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Probes of a kubelet have no token, and these say yes or no and nothing else
OPEN = frozenset({"/healthz", "/readyz"})
# What a browser can be made to read; interLink's own questions have bodies, which no page can send with a GET
_FOR_PEOPLE = ("/ui", "/pods", "/metrics")
_SHORTEST = 16
_WRITABLE_BY_OTHERS = 0o002


class BadTokenFile(RemoteSlurmError):
    """TokenFile cannot be used."""


class Tokens:
    """The tokens of a file, one a line: with two of them one can be replaced while clients still show the other."""

    def __init__(self, path: Path, key: str = "TokenFile") -> None:
        """`key` is where the file is named. Raises BadTokenFile."""
        self._path = path
        self.key = key
        self._stamp = _stamp(path)
        self._digests = self._read()

    def accept(self, token: str) -> bool:
        """Takes as long for a token that is nearly right as for any other. A file that is gone lets nobody in."""
        self._read_again()
        given = _digest(token)
        return any(hmac.compare_digest(given, each) for each in self._digests)  # all of them, every time

    def _read_again(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests = self._read()
        except BadTokenFile as error:
            self._digests = ()
            warn(f"nobody is let in: {error}")
        else:
            event(f"{self.key} was read again", tokens=len(self._digests))

    def _read(self) -> tuple[bytes, ...]:
        try:
            mode = self._path.stat().st_mode
            lines = self._path.read_text(encoding="ascii").split("\n")
        except OSError as error:
            raise BadTokenFile(f"{self.key} {self._path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadTokenFile(f"{self.key} {self._path} must be ASCII text, one token a line") from error
        tokens = [line.strip() for line in lines if line.strip()]
        if mode & _WRITABLE_BY_OTHERS:
            raise BadTokenFile(f"everybody may write to {self.key} {self._path}: take that away with chmod o-w")
        if not tokens or any(len(token) < _SHORTEST or len(token.split()) > 1 for token in tokens):
            raise BadTokenFile(
                f"{self.key} {self._path} must hold a token a line, each a word of {_SHORTEST} signs or more, as "
                "`openssl rand -hex 32` prints it"
            )
        return tuple(_digest(token) for token in tokens)


def authentication(tokens: Tokens | None, *, private: bool = False) -> Middleware:
    """Let in who shows a token; all, where none is configured.

    A `private` sidecar is for this machine alone: a name that somebody else's name server leads here is not its own.
    """

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.headers.get("Origin"):  # browsers say it where a page wants to change something, or is elsewhere
            raise web.HTTPForbidden(reason="a web page may not ask this")
        if private and request.path.startswith(_FOR_PEOPLE) and not _is_of_this_machine(request.host):
            raise web.HTTPForbidden(reason="ask by the address or as localhost, not by another name")
        if tokens is None or request.path in OPEN or tokens.accept(_shown(request)):
            return await handler(request)
        scheme = 'Basic realm="remote-slurm: any name, and the token as password"' if _is_page(request) else "Bearer"
        raise web.HTTPUnauthorized(
            reason=f"show a token of {tokens.key}, as `Authorization: Bearer <token>`",
            headers={"WWW-Authenticate": scheme},
        )

    return authenticated


def _is_of_this_machine(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    try:
        ip_address(name)
    except ValueError:
        return name == "localhost"
    return True


def _is_page(request: web.Request) -> bool:
    return request.path == "/ui" or request.path.startswith("/ui/")


def _shown(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return _password(value) if scheme.lower() == "basic" and _is_page(request) else ""


def _password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _digest(token: str) -> bytes:
    """Of one length, whatever the token's is: a comparison must not tell that either."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
