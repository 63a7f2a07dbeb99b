"""The client of PortForward.Port: the state of a pod, and connections to its ports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from remote_slurm.api.forward_protocol import PROTOCOL
from remote_slurm.cli.credentials import Credentials
from remote_slurm.cli.replies import Refused, connection_problem, raise_refusals
from remote_slurm.errors import RemoteSlurmError, Unreachable

_ANSWER_SECONDS = 30.0
# The sidecar may be about to restart, and the job may be requeued
_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.5
_AGAIN = {409, 503}
_READ = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod to ask for, or with `by_shadow` the Deployment of its shadow pod."""

    namespace: str
    name: str
    by_shadow: bool = False


class Broken(RemoteSlurmError):
    """The connection to the port was lost."""


class ForwardClient:
    """Asks for one pod. Every call raises Refused with the sidecar's sentence, or Unreachable."""

    def __init__(self, session: aiohttp.ClientSession, url: str, pod: Pod) -> None:
        self._session = session
        self._url = url
        self._path = f"/forward/{quote(pod.namespace, safe='')}/{quote(pod.name, safe='')}"
        self._query = "?shadow=true" if pod.by_shadow else ""

    async def state(self) -> dict[str, str]:
        """The pod's name, phase, node, and a message."""
        found: dict[str, str] = await self._get(self._path)
        return found

    async def answers(self, port: int) -> bool:
        """Whether something listens on the port."""
        found = await self._get(f"{self._path}/{port}/probe")
        return bool(found["answers"])

    async def _get(self, path: str) -> Any:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._session.get(f"{path}{self._query}") as response:
                found = json.loads(await response.text())
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise self._unreachable(error) from error
        return found

    async def forward(
        self,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        """Copy in both directions until the connection ends. Raises Broken if it does not end well.

        `connected` is called once the connection to the port is made.
        """
        socket = await self._connected(port)
        connected()
        try:
            await _relay(socket, reader, writer)
        finally:
            await socket.close()

    async def _connected(self, port: int) -> aiohttp.ClientWebSocketResponse:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return await self._connect(port)
            except (Refused, Unreachable) as error:
                again = isinstance(error, Unreachable) or error.status in _AGAIN
                if not again or time.monotonic() > until:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _connect(self, port: int) -> aiohttp.ClientWebSocketResponse:
        path = f"{self._path}/{port}{self._query}"
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._session.ws_connect(path, protocols=(PROTOCOL,), autoping=True, compress=0)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Unreachable:
        why = "no answer in time" if isinstance(error, TimeoutError) else connection_problem(error)
        return Unreachable(f"no sidecar answers at {self._url}: {why}")


async def _relay(
    socket: aiohttp.ClientWebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    up = asyncio.create_task(_to_pod(socket, reader))
    down = asyncio.create_task(_to_local(socket, writer))
    try:
        # the other side's end is the end of the WebSocket, and what this side has sent is on its way before
        await down
    except OSError:
        pass  # the local client is gone
    finally:
        up.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _to_pod(socket: aiohttp.ClientWebSocketResponse, reader: asyncio.StreamReader) -> None:
    try:
        while data := await reader.read(_READ):
            await socket.send_bytes(data)
        await socket.send_bytes(b"")
    except OSError:
        await socket.close()  # one of the two is gone


async def _to_local(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    """Raises Broken if the WebSocket ends without an end of the connection."""
    while (message := await socket.receive()).type is aiohttp.WSMsgType.BINARY:
        if message.data:
            writer.write(message.data)
            await writer.drain()
        else:
            writer.write_eof()
    if message.type is aiohttp.WSMsgType.CLOSING:
        return  # from this side, since the local client is gone
    if message.type is not aiohttp.WSMsgType.CLOSE or message.data != aiohttp.WSCloseCode.OK:
        raise Broken(message.extra or "the connection to the sidecar was lost")


def accepting(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """What `asyncio.start_server` calls. Itself, Python 3.11 prints a traceback for a coroutine that is cancelled."""
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(handle(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return accept


@contextlib.asynccontextmanager
async def at(url: str, shown: Credentials, pod: Pod) -> AsyncIterator[ForwardClient]:
    """The sidecar whose PortForward.Port is there, for one pod."""
    parts = urlsplit(url)
    unix = parts.scheme == "unix"
    # connections that are forwarded are not limited in number or time
    connector = (
        aiohttp.UnixConnector(parts.path, limit=0) if unix else aiohttp.TCPConnector(ssl=shown.tls or True, limit=0)
    )
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)

    async def authenticated(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers.update(shown.headers)
        return await handler(request)

    async with aiohttp.ClientSession(
        "http://localhost" if unix else url,
        connector=connector,
        timeout=timeout,
        middlewares=(raise_refusals, authenticated),
    ) as session:
        yield ForwardClient(session, url, pod)
