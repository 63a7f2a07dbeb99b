"""Connections to the sidecar: how many there are, and for how long one may do nothing.

aiohttp limits neither. An idle connection costs a descriptor, and without descriptors the sidecar reaches neither the
site nor a client. At the limit, the connection that has been idle for the longest time is closed for a new one. If none
is idle, the new one is answered with 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ssl
import termios
import time
from asyncio.sslproto import SSLProtocol
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from remote_slurm.api.limits import LIMITS, Limits
from remote_slurm.log import warning

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SENTENCE = b"the sidecar has too many connections in use: try again later\n"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Length: %d\r\n\r\n%b"
) % (len(_SENTENCE), _SENTENCE)
# Linux resets a connection that is closed with a request unread, and its client may lose the answer. So many refused
# connections, beyond the limit, wait for their clients to close
_MOST_REFUSED = 64
_REFUSED_SECONDS = 2.0
_WARN_EVERY_SECONDS = 60.0


class Runner(web.AppRunner):
    """Serves an application on connections that are limited in number and in idle time."""

    async def _make_server(self) -> Server:
        server = await super()._make_server()
        server.request_handler = _expecting_nothing_else(server.request_handler)
        return cast(Server, Connections(server, self.app[LIMITS]))


def _expecting_nothing_else(handle: Any) -> Any:
    """Refuse every Expect but 100-continue, before aiohttp does: its answer (3.14) fails for one that is not UTF-8."""

    async def expecting(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            warning("refused a request with an unknown Expect header", status=417)
            return web.Response(status=417, text="send the request without an Expect header")
        response: web.StreamResponse = await handle(request)
        return response

    return expecting


class Connections:
    """Replaces aiohttp's server where connections are made; the server does everything else."""

    def __init__(self, server: Server, limits: Limits) -> None:
        self._server = server
        self.limits = limits
        self._idle: dict[Connection, None] = {}  # the one that has been idle for longest comes first
        self._busy: set[Connection] = set()
        self._refused: set[Connection] = set()
        self._warned = float("-inf")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def __call__(self) -> Connection:
        # aiohttp's factory has no way to name another class than its own
        return Connection(self, self._server, self._server._kwargs)  # noqa: SLF001

    def admit(self, connection: Connection) -> bool:
        """Count the connection, and end an idle one if it is one too many. False if all others are in use."""
        full = len(self._idle) + len(self._busy) >= self.limits.connections
        if full:
            self._warn()
            oldest = next((each for each in self._idle if not each.has_unread), None)
            if oldest is None:
                return False
            oldest.end()
        self._idle[connection] = None
        return True

    def refuse(self, connection: Connection) -> bool:
        """Count a connection that is refused. False if it has to be closed at once."""
        if len(self._refused) >= _MOST_REFUSED:
            return False
        self._refused.add(connection)
        return True

    def busy(self, connection: Connection) -> None:
        """A request has come."""
        if self._idle.pop(connection, self) is None:
            self._busy.add(connection)

    def idle(self, connection: Connection) -> bool:
        """The request is answered. Whether the connection is still open."""
        is_open = connection in self._busy
        if is_open:
            self._busy.discard(connection)
            self._idle[connection] = None
        return is_open

    def forget(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._busy.discard(connection)
        self._refused.discard(connection)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        """End all connections: aiohttp does not know those whose TLS handshake is under way."""
        for each in [*(each for each in self._idle if not each.is_made), *self._refused]:
            each.end()
        await self._server.shutdown(timeout)

    def _warn(self) -> None:
        if time.monotonic() - self._warned > _WARN_EVERY_SECONDS:
            self._warned = time.monotonic()
            warning(
                "too many connections are open: closing the longest idle ones",
                limit=self.limits.connections,
                busy=len(self._busy),
            )


class Connection(RequestHandler):
    """One connection, which ends if nothing comes over it for too long."""

    def __init__(self, connections: Connections, server: Server, options: dict[str, Any]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._connections = connections
        self.limits = connections.limits
        self._socket: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._in_headers = False
        self._is_counted = self._is_refused = False
        self.is_made = False  # the HTTP server has it: a TLS handshake has succeeded

    @property
    def has_unread(self) -> bool:
        """Whether the client has sent what was not read yet: a burst of clients, and the first of them are not idle."""
        size = bytearray(4)
        with contextlib.suppress(OSError, AttributeError):
            fcntl.ioctl(self._socket.get_extra_info("socket").fileno(), termios.FIONREAD, size)  # type: ignore[union-attr]
        return any(size)

    def accepted(self, transport: asyncio.BaseTransport) -> bool:
        """Count the connection. False if there are too many."""
        self._socket = cast(asyncio.Transport, transport)
        self._is_counted = self._is_counted or self._connections.admit(self)
        return self._is_counted

    def was_lost(self) -> None:
        """It has ended, maybe before its TLS handshake has."""
        self._cancel()
        self._connections.forget(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self.accepted(transport):
            self._refuse()
            return
        self._end_in(self.limits.idle_seconds)
        self.is_made = True
        super().connection_made(transport)

    def _refuse(self) -> None:
        assert self._socket is not None  # noqa: S101 - of accepted
        self._is_refused = True
        self.force_close()
        self._socket.write(_FULL)
        if self._socket.can_write_eof() and self._connections.refuse(self):
            self._socket.write_eof()
            self._end_in(_REFUSED_SECONDS)
        else:
            self._socket.close()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._timer and not self._in_headers:
            self._in_headers = True
            self._end_in(self.limits.header_seconds)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.was_lost()
        super().connection_lost(exc)

    def began(self) -> None:
        """All headers of a request have come."""
        self._cancel()
        self._in_headers = False
        self._connections.busy(self)

    def ended(self) -> None:
        """The request is answered, though its answer may still be on the way."""
        if self._connections.idle(self):
            self._end_in(self.limits.idle_seconds)

    def end(self) -> None:
        """Close at once: what the client has not taken of an answer is dropped."""
        self._connections.forget(self)
        if self._socket is not None:
            self._socket.abort()

    def _end_in(self, seconds: float) -> None:
        self._cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class Handshake(SSLProtocol):
    """TLS for one connection, which counts from the moment at which it is accepted.

    asyncio's own server would not call the connection's protocol before the handshake has succeeded.
    """

    def __init__(self, connection: Connection, context: ssl.SSLContext) -> None:
        super().__init__(
            asyncio.get_running_loop(),
            connection,
            context,
            None,  # type: ignore[arg-type]  # nothing waits for the handshake
            server_side=True,
            ssl_handshake_timeout=connection.limits.header_seconds,  # type: ignore[arg-type]  # typeshed: int; asyncio: float
        )
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._connection.accepted(transport):
            cast(asyncio.Transport, transport).abort()
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connection.was_lost()
        super().connection_lost(exc)


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Outermost: a connection is in use as long as a request on it is being answered."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        return await handler(request)
    connection.began()
    try:
        return await handler(request)
    finally:
        connection.ended()
