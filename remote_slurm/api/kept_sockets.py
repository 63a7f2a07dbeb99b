"""The server's side of the supervisor: sockets that were inherited, and connections that another server may go on with.

Without a supervisor, everything here does what asyncio and aiohttp do by themselves.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from remote_slurm.api.connections import Connection, Handshake
from remote_slurm.api.handover import VARIABLE, Channel, Message, RequestRecord
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.log import warning

# Clients that connect while the server is away for a moment
BACKLOG = 1024
_ACCEPT_RETRY_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

Factory = Callable[[], Connection]


class CannotListen(RemoteSlurmError):
    """The configured port or socket cannot be used."""


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A connection whose request the server before this one has not answered."""

    number: str
    connection: socket.socket
    record: RequestRecord


class KeptSockets:
    """What the supervisor holds for this server; empty without a supervisor."""

    def __init__(self, channel: Channel | None = None) -> None:
        self._channel = channel
        self._listeners: dict[str, socket.socket] = {}
        self._activated: dict[str, socket.socket] = {}
        self._unanswered: list[_Unanswered] = []
        self._origins: dict[int, str] = {}  # how the supervisor calls a listening socket, by its descriptor
        self._acceptors: dict[str, _Acceptor] = {}

    @classmethod
    def of_supervisor(cls) -> KeptSockets:
        """Take over what the supervisor holds, and end with it. Raises SystemExit if the supervisor has gone."""
        number = os.environ.pop(VARIABLE, "")
        if not number:
            return cls()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        kept = cls(Channel.inherited(int(number)))
        kept._take_over()
        return kept

    def _take_over(self) -> None:
        assert self._channel is not None  # noqa: S101 - of_supervisor
        while (message := self._channel.receive()) and message.kind != "begin":
            first = socket.socket(fileno=message.fds[0])
            if message.kind == "listen":
                self._listeners[message.value] = first
            elif message.kind == "activated":
                self._activated[message.value] = first
            else:
                self._unanswered.append(_Unanswered(message.value, first, RequestRecord(message.fds[1])))
        if message is None:
            raise SystemExit(1)

    # --- listening ---

    def listener(self, name: str, address: tuple[str, int] | str, bind: Callable[[], socket.socket]) -> socket.socket:
        """The socket that listens on `address`: systemd's, that of the server before, or a new one from `bind`.

        Raises CannotListen if systemd's socket listens on another address.
        """
        key = name if name in self._activated else ""
        activated = self._activated.get(key)
        if activated is not None:
            if not _listens_on(activated, address):
                raise CannotListen(
                    f"systemd's socket listens on {_shown(activated.getsockname())}, but the configuration has "
                    f"{_shown(address)}: make ListenStream= and the configuration equal"
                )
            self._origins[activated.fileno()] = f"activated {key}"
            return activated
        inherited = self._listeners.pop(name, None)
        if inherited is not None and _listens_on(inherited, address):
            self._origins[inherited.fileno()] = f"listen {name}"
            return inherited
        if inherited is not None:
            inherited.close()
        bound = bind()
        if self._channel is not None:
            bound.listen(BACKLOG)
            self._channel.send("listen", name, bound.fileno())
            self._origins[bound.fileno()] = f"listen {name}"
        return bound

    def ready(self, *, as_json: bool) -> None:
        """Say that requests are answered now; `as_json` is the form of the log."""
        if self._channel is not None:
            self._channel.send("ready", "json" if as_json else "text")

    # --- connections ---

    async def accept(
        self, listener: socket.socket, make: Factory, context: ssl.SSLContext | None, *, repeatable: bool = True
    ) -> Closable:
        """Serve the connections of `listener` by protocols from `make`, until what is returned is closed.

        The state of TLS cannot be handed to another process, so connections with TLS end with this one, and so do those
        whose requests are not `repeatable`.
        """
        loop = asyncio.get_running_loop()
        if context is not None:
            return await loop.create_server(lambda: Handshake(make(), context), sock=listener, backlog=BACKLOG)
        if self._channel is None or not repeatable:
            return await loop.create_server(make, sock=listener, backlog=BACKLOG)
        origin = self._origins[listener.fileno()]
        acceptor = self._acceptors[origin] = _Acceptor(listener, make, self._channel, origin)
        loop.add_reader(self._channel.fileno(), self._receive)
        while self._unanswered:
            acceptor.resume(self._unanswered.pop())
        acceptor.start()
        return acceptor

    def _receive(self) -> None:
        """Give acceptors what the supervisor answers."""
        assert self._channel is not None  # noqa: S101 - of accept
        while self._take(self._channel.receive()) and self._channel.has_message:
            pass

    def _take(self, message: Message | None) -> bool:
        """Give the acceptor an answer. False if there will be no other one."""
        assert self._channel is not None  # noqa: S101 - of accept
        if message is None:  # the supervisor has gone, and this process ends with it
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            return False
        head, _, rest = message.value.partition(" ")
        if message.kind == "open":
            unanswered = _Unanswered(head, socket.socket(fileno=message.fds[0]), RequestRecord(message.fds[1]))
            self._acceptors[rest].accepted(unanswered)
        else:
            name, _, why = rest.partition(" ")
            self._acceptors[f"{head} {name}"].none(why)
        return True


class Closable(Protocol):
    """What ends with `close`."""

    def close(self) -> None: ...


class _Acceptor:
    """Serves the connections that the supervisor accepts.

    If this process accepted a connection itself and died before the supervisor has it, the connection would be lost.
    """

    def __init__(self, listener: socket.socket, make: Factory, channel: Channel, origin: str) -> None:
        self._listener = listener
        self._make = make
        self._channel = channel
        self._origin = origin
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._asked = self._closed = False

    def start(self) -> None:
        self._listener.setblocking(False)  # noqa: FBT003 - positional only
        self._listener.listen(BACKLOG)
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        self._asked = True
        self._loop.remove_reader(self._listener)  # until the supervisor answers
        self._channel.send("accept", self._origin)

    def accepted(self, connection: _Unanswered) -> None:
        self._go_on()
        self.resume(connection)

    def none(self, why: str) -> None:
        """The supervisor has accepted no further connection; `why` is empty if there was none."""
        if not why:
            self._go_on()
            return
        warning("cannot accept a connection, trying again", reason=why, seconds=_ACCEPT_RETRY_SECONDS)
        self._loop.call_later(_ACCEPT_RETRY_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if self._asked and not self._closed:
            self._asked = False
            self._loop.add_reader(self._listener, self._accept)

    def resume(self, unanswered: _Unanswered) -> None:
        """Serve a connection; its request may be one that the server before this one has not answered."""
        kept = _KeptConnection(self._make(), self._channel, unanswered.number, unanswered.record)
        self._open(unanswered.connection, kept)

    def _open(self, connection: socket.socket, protocol: asyncio.BufferedProtocol) -> None:
        task = self._loop.create_task(self._connect(connection, protocol))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, connection: socket.socket, protocol: asyncio.BufferedProtocol) -> None:
        connection.setblocking(False)  # noqa: FBT003 - positional only
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError:
            connection.close()


def _listens_on(listener: socket.socket, address: tuple[str, int] | str) -> bool:
    """Port 0 is any port."""
    name = listener.getsockname()
    if isinstance(address, str) or isinstance(name, str):
        return bool(name == address)
    return name[0] == address[0] and address[1] in (0, name[1])


def _shown(address: Any) -> str:
    return str(address) if isinstance(address, str) else f"{address[0]} port {address[1]}"


class FinishedAnswers(AbstractAccessLogger):
    """Clears the record of a request that is answered. aiohttp calls it after each answer, and nothing else does."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:  # noqa: ARG002 - aiohttp's
        transport: Any = request.transport
        if isinstance(transport, _KeptTransport):
            transport.answered()


# aiohttp makes no access logger without a log
NO_LOG = logging.getLogger("remote_slurm.unused")


class _KeptTransport:
    """asyncio's transport, which notes in the record when an answer begins and when it has left."""

    def __init__(self, transport: Any, record: RequestRecord) -> None:
        self._transport = transport
        self._record = record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._begin(data)
        self._transport.write(data)

    def writelines(self, parts: list[bytes]) -> None:
        self._begin(parts[0] if parts else b"")
        self._transport.writelines(parts)

    def _begin(self, data: bytes) -> None:
        # "100 Continue" is no answer: the body has yet to come
        if not data.startswith(b"HTTP/1.1 100"):
            self._record.answer_begins()

    def answered(self) -> None:
        # what has not left this process yet would be lost with it
        if not self._transport.get_write_buffer_size():
            self._record.clear()


class _KeptConnection(asyncio.BufferedProtocol):
    """aiohttp's protocol of one connection; the supervisor has the connection and what arrived on it, too."""

    def __init__(self, inner: asyncio.Protocol, channel: Channel, number: str, record: RequestRecord) -> None:
        self._inner = inner
        self._channel = channel
        self._number = number
        self._record = record

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        earlier = self._record.read()
        kept: Any = _KeptTransport(transport, self._record)
        self._inner.connection_made(kept)
        if earlier:
            self._inner.data_received(earlier)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)
        self._record.close()
        self._channel.send("close", self._number)

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._record.room()

    def buffer_updated(self, nbytes: int) -> None:
        self._inner.data_received(self._record.arrived(nbytes))

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
