"""Who sent a request: by a token, a client certificate or both; and never a web page of another site.

Clients send the token as `Authorization: Bearer`. A browser cannot do that, so the page and its requests also accept
`Basic`, with any name and the token as the password. Requests that change something accept `Bearer` only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from remote_slurm.api.access import OPEN, AccessList, Client, NamespaceGrant, current_client, require, verb_of
from remote_slurm.api.tls import Certificates, ClientCertificate
from remote_slurm.config.access import Grant, Verb
from remote_slurm.config.strict_modes import unsafe_file
from remote_slurm.domain.pod.shadow_name import shadowed_namespaces
from remote_slurm.errors import Forbidden, RemoteSlurmError
from remote_slurm.log import info, warning
from remote_slurm.service.audit import note
from remote_slurm.service.token_reviews import InvalidToken, TokenReviews

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Endpoints that clients of Kubernetes ask for WebSockets
_KUBERNETES_WEBSOCKETS = ("/exec/", "/portForward/", "/api/v1/namespaces/")
# A browser can be made to read all others: interLink's own requests have bodies, which no page can send with a GET, and
# Origin refuses POST and WebSockets
_FOR_PROGRAMS = frozenset(
    {"/create", "/status", "/delete", "/getLogs", "/openapi.json", "/forward/{namespace}/{pod}/{port}", *OPEN}
)
_SHORTEST = 16
_OF_ACCESS = "a TokenFile of Access"


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
        """Takes as long for a token that is nearly right as for any other. A file that is gone rejects all tokens."""
        return self.number(token) > 0

    def number(self, token: str) -> int:
        """Return which token of the file it is, counted from 1; 0 if it is none."""
        self._read_again()
        given = _digest(token)
        # all of them, every time
        return sum(at * hmac.compare_digest(given, each) for at, each in enumerate(self._digests, start=1))

    def _read_again(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests = self._read()
        except BadTokenFile as error:
            self._digests = ()
            warning("all tokens are rejected until the file is corrected", reason=error)
        else:
            info("token file reloaded", key=self.key, tokens=len(self._digests))

    def _read(self) -> tuple[bytes, ...]:
        try:
            found = unsafe_file(self._path)
            lines = self._path.read_text(encoding="ascii").split("\n")
        except OSError as error:
            raise BadTokenFile(f"{self.key} {self._path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadTokenFile(f"{self.key} {self._path} must be ASCII text, one token per line") from error
        tokens = [line.strip() for line in lines if line.strip()]
        if found:
            raise BadTokenFile(f"{self.key} {self._path} is not used: {found}")
        if not tokens or any(len(token) < _SHORTEST or len(token.split()) > 1 for token in tokens):
            raise BadTokenFile(
                f"{self.key} {self._path} must contain one token per line, each of at least {_SHORTEST} characters "
                "without "
                "blanks, such as the output of `openssl rand -hex 32`"
            )
        return tuple(_digest(token) for token in tokens)


class Unauthorized(web.HTTPUnauthorized):
    """401, with the rule for the audit log."""

    def __init__(self, rule: str, reason: str, scheme: str) -> None:
        self.rule = rule
        super().__init__(reason=reason, headers={"WWW-Authenticate": scheme})


@dataclass(frozen=True, slots=True)
class ServiceAccounts:
    """Admits service accounts to the ports of pods of their own namespace.

    `shadow_namespaces`: those of the namespace NAME-wstunnel, too, to pods of NAME.
    """

    reviews: TokenReviews
    shadow_namespaces: bool = False
    rule: str = "PortForward.TokenReview"

    def namespaces(self, own: str) -> tuple[str, ...]:
        return shadowed_namespaces(own) if self.shadow_namespaces else (own,)


@dataclass(slots=True)
class Gate:
    """The credentials that clients of one port must send. Without any of them, the port permits every request.

    A `private` sidecar is for this machine alone: it rejects host names that a foreign name server resolves to it.
    """

    tokens: Tokens | None = None
    access: AccessList | None = None
    certificates: Certificates | None = None
    private: bool = False
    service_accounts: ServiceAccounts | None = None
    _of_grants: dict[Path, Tokens] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises BadTokenFile."""
        for grant in self.access.grants().values() if self.access else ():
            if grant.token_file:
                self._of_grants[grant.token_file] = Tokens(grant.token_file, _OF_ACCESS)

    async def client(self, request: web.Request) -> Client:
        """Raises Unauthorized, Forbidden or ReviewFailed."""
        shown = self._certificate(request)
        token = _shown(request)
        number = self.tokens.number(token) if self.tokens else 0
        who = Client(subject=shown.name if shown else "", peer=peer_of(request))
        if self.tokens and number:
            return replace(who, name=f"{self.tokens.key}:{number}", everything=True)
        grants = self.access.grants() if self.access else {}
        if found := {name: each for name, each in grants.items() if self._has(each, token, shown)}:
            return replace(who, name=",".join(found), grants=tuple(found.values()))
        if self.service_accounts is not None:
            return await self._service_account(request, who, token, self.service_accounts)
        if self.access is not None:
            raise self._unauthorized(request, "send a token of an entry of Access", "Access")
        if self.tokens:
            raise self._unauthorized(request, f"send a token of {self.tokens.key}", self.tokens.key)
        return replace(who, everything=True)

    async def _service_account(
        self, request: web.Request, who: Client, token: str, accounts: ServiceAccounts
    ) -> Client:
        if not token:
            raise self._unauthorized(request, "send a token of a service account", accounts.rule)
        try:
            account = await accounts.reviews.review(token)
        except InvalidToken as error:
            raise self._unauthorized(request, f"{error}: send a valid one", accounts.rule) from error
        namespaces = accounts.namespaces(account.namespace)
        limit = f"it reaches pods of the namespace {' or '.join(namespaces)} only"
        grant = NamespaceGrant((Verb.FORWARD,), namespaces)
        return replace(who, name=account.user, grants=(grant,), rule=accounts.rule, limit=limit)

    def _has(self, grant: Grant, token: str, shown: ClientCertificate | None) -> bool:
        """Whether the client shows all that the grant names."""
        if grant.token_file and not self._accepts(grant.token_file, token):
            return False
        return not grant.subjects or (shown is not None and any(shown.matches(each) for each in grant.subjects))

    def _accepts(self, path: Path, token: str) -> bool:
        if path not in self._of_grants:
            try:
                self._of_grants[path] = Tokens(path, _OF_ACCESS)
            except BadTokenFile as error:
                warning("an entry of Access is ignored until its TokenFile is corrected", reason=error)
                return False
        return self._of_grants[path].accept(token)

    def _certificate(self, request: web.Request) -> ClientCertificate | None:
        if self.certificates is None or self.certificates.settings.client_ca_file is None:
            return None
        connection = request.transport.get_extra_info("ssl_object") if request.transport else None
        shown = self.certificates.client(connection) if connection else None
        block, allowed = self.certificates.block, self.certificates.settings.allowed_subjects
        if shown is None:
            raise _closing(
                Unauthorized(f"{block}TLS.ClientCAFile", "the client certificate is no longer valid", "Bearer")
            )
        if allowed and not any(shown.matches(each) for each in allowed):
            rule = f"{block}TLS.AllowedSubjects"
            raise Forbidden(
                f"the subject {shown.name or '(empty)'} of the client certificate is not in {rule}", rule=rule
            )
        return shown

    def _unauthorized(self, request: web.Request, what: str, rule: str) -> Unauthorized:
        scheme = 'Basic realm="remote-slurm: any name, and the token as password"' if _is_page(request) else "Bearer"
        return Unauthorized(rule, f"{what} as `Authorization: Bearer <token>`", scheme)


def _closing(error: Unauthorized) -> Unauthorized:
    error.headers["Connection"] = "close"
    return error


def authentication(gate: Gate) -> Middleware:
    """Admit clients with the credentials of the gate, to the endpoints that their grants permit."""

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        # browsers send it where a page wants to change something, or is elsewhere. So do other clients of WebSockets,
        # and no page can send a token with a WebSocket
        if request.headers.get("Origin") and not (_is_of_kubernetes(request) and _shown(request)):
            raise web.HTTPForbidden(
                reason="requests with an Origin header are refused: web pages may not call this API"
            )
        if gate.private and not (_is_for_program(request) or _is_of_this_machine(request.host)):
            raise web.HTTPForbidden(reason="invalid Host header: must be an IP address or localhost")
        if endpoint_of(request) in OPEN:
            return await handler(request)
        client = await gate.client(request)
        note(client=client.fields)
        before = current_client.set(client)
        try:
            if verb := verb_of(endpoint_of(request)):
                require(verb, [None])
            return await handler(request)
        finally:
            current_client.reset(before)

    return authenticated


def endpoint_of(request: web.Request) -> str:
    """Return the path of the endpoint that answers, however it was written; the path itself if there is none."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else request.path


def peer_of(request: web.Request) -> str:
    """The client's address, or the user and the process behind a unix socket."""
    transport = request.transport
    name = transport.get_extra_info("peername") if transport else None
    if isinstance(name, tuple):
        return f"{name[0]}:{name[1]}"
    own = transport.get_extra_info("socket") if transport else None
    if own is None or own.family != socket.AF_UNIX:
        return ""
    pid, uid, gid = struct.unpack("3i", own.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return f"unix uid={uid} gid={gid} pid={pid}"


def _is_of_this_machine(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # no URL has such a host
        return False
    try:
        ip_address(name)
    except ValueError:
        return name == "localhost"
    return True


def _is_page(request: web.Request) -> bool:
    return request.path == "/ui" or request.path.startswith("/ui/")


def _is_for_program(request: web.Request) -> bool:
    return endpoint_of(request) in _FOR_PROGRAMS or _is_of_kubernetes(request)


def _is_of_kubernetes(request: web.Request) -> bool:
    return endpoint_of(request).startswith(_KUBERNETES_WEBSOCKETS)


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
    """A digest of fixed length, so that a comparison does not reveal the length of the token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_ctime_ns, found.st_size, found.st_ino  # a chmod counts, too
