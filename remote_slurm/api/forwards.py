"""Connections to ports of pods, each as a WebSocket.

Binary messages are the bytes of the connection. An empty one says that its sender has sent its last, and may still
receive. The WebSocket is accepted once the connection to the port is made; otherwise the status of the answer says why
there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from remote_slurm.api.access import current_client, require
from remote_slurm.api.forward_protocol import PROTOCOL
from remote_slurm.config.access import Verb
from remote_slurm.domain.pod.shadow_name import shadowed_namespaces
from remote_slurm.domain.status.pod_summary import PodPhase
from remote_slurm.errors import InvalidRequest, OutcomeUnknown, PodNotFound, PortUnreachable
from remote_slurm.log import info
from remote_slurm.service.audit import note, pod_fields
from remote_slurm.service.pod_finder import FoundPod
from remote_slurm.service.port_forwards import Connection, PortForwards

FORWARDS = web.AppKey("forwards", PortForwards)
_MOST_MESSAGE_BYTES = 1024 * 1024
_CLOSE_SECONDS = 5.0
_HIGHEST_PORT = 65535

forward_routes = web.RouteTableDef()


@forward_routes.get("/forward/{namespace}/{pod}")
async def state(request: web.Request) -> web.Response:
    """Whether the pod runs, and where. A shadow asks before interLink has sent its pod: that is no failure."""
    try:
        return web.json_response((await found_pod(request)).state)
    except PodNotFound as error:
        if not _by_shadow(request):
            raise
        return web.json_response({"pod": "", "phase": PodPhase.UNKNOWN.value, "node": "", "message": str(error)})


@forward_routes.get("/forward/{namespace}/{pod}/{port}/probe")
async def probe(request: web.Request) -> web.Response:
    """Whether something listens on the port. It is no failure if nothing does: a program may just start."""
    found, port = await found_pod(request), _port(request)
    note(port=port)
    why = ""
    try:
        async with request.app[FORWARDS].connected(found, port):
            pass
    except PortUnreachable as error:
        why = str(error)
    return web.json_response({"answers": not why, "message": why})


@forward_routes.get("/forward/{namespace}/{pod}/{port}")
async def forward(request: web.Request) -> web.WebSocketResponse:
    found, port = await found_pod(request), _port(request)
    note(port=port)
    socket = web.WebSocketResponse(
        protocols=(PROTOCOL,), max_msg_size=_MOST_MESSAGE_BYTES, compress=False, timeout=_CLOSE_SECONDS
    )
    if not socket.can_prepare(request):
        raise web.HTTPUpgradeRequired(reason=f"ask for a WebSocket with the protocol {PROTOCOL}")
    async with request.app[FORWARDS].connected(found, port) as connection:
        await socket.prepare(request)
        passed, why = _Passed(), ""
        try:
            await _pass(socket, connection, passed)
        except OutcomeUnknown as error:
            why = str(error)
        except ConnectionError:
            pass  # the client is gone
        why = connection.ended or why
        await _close(socket, WSCloseCode.INTERNAL_ERROR if why else WSCloseCode.OK, why)
        _record(connection, passed, why)
    return socket


@dataclass(slots=True)
class _Passed:
    """Bytes that a connection has transferred, and whether the client has sent its last."""

    sent: int = 0
    received: int = 0
    sent_all: asyncio.Event = field(default_factory=asyncio.Event)


async def found_pod(request: web.Request) -> FoundPod:
    """The pod of the request. Raises Forbidden unless the client may reach it, and PodNotFound."""
    namespace, name = request.match_info["namespace"], request.match_info["pod"]
    pods = request.app[FORWARDS].pods
    note(pod={"namespace": namespace, "name": name})
    if _by_shadow(request):
        found = await pods.find_by_shadow(name, namespace, _shadowed(namespace))
    else:
        require(Verb.FORWARD, [namespace])
        found = await pods.find(namespace, name)
    note(pod=pod_fields(found.key, found.name))
    return found


def _by_shadow(request: web.Request) -> bool:
    """Whether the pod is named by the Deployment of its shadow pod."""
    return request.query.get("shadow") == "true"


def _shadowed(namespace: str) -> list[str]:
    """The namespaces that the pod of a shadow may be in, as far as the client may reach them. Raises Forbidden."""
    client = current_client.get()
    found = [each for each in shadowed_namespaces(namespace) if client.may(Verb.FORWARD, each)]
    if not found:
        require(Verb.FORWARD, [namespace])
    return found


def _port(request: web.Request) -> int:
    return port_number(request.match_info["port"])


def port_number(text: str) -> int:
    """Read a port. Raises InvalidRequest."""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= _HIGHEST_PORT):
        raise InvalidRequest(f"invalid port {text[:20]!r}: must be a number from 1 to {_HIGHEST_PORT}")
    return int(text)


async def _pass(socket: web.WebSocketResponse, connection: Connection, passed: _Passed) -> None:
    """Copy in both directions until both have ended, or either side has gone. Raises OutcomeUnknown, or OSError."""
    up = asyncio.create_task(_to_port(socket, connection, passed))
    down = asyncio.create_task(_to_client(socket, connection, passed))
    waits: list[asyncio.Task[Any]] = [up, down]
    try:
        done, _ = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        if down not in done:
            if isinstance(up.exception(), OutcomeUnknown):
                await down  # the port takes nothing more, and what it has sent before is on its way
            return
        down.result()
        waits += [asyncio.create_task(passed.sent_all.wait()), asyncio.create_task(connection.stream.wait_closed())]
        await asyncio.wait({each for each in waits if each is not down}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _to_port(socket: web.WebSocketResponse, connection: Connection, passed: _Passed) -> None:
    """Return once the client is gone; after its last byte, that is all that is waited for."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY:
            return
        if message.data:
            await connection.stream.write(message.data)
            passed.sent += len(message.data)
        elif not passed.sent_all.is_set():
            await connection.stream.write_eof()
            passed.sent_all.set()


async def _to_client(socket: web.WebSocketResponse, connection: Connection, passed: _Passed) -> None:
    while data := await connection.stream.read():
        await socket.send_bytes(data)
        passed.received += len(data)
    await socket.send_bytes(b"")


async def _close(socket: web.WebSocketResponse, code: WSCloseCode, why: str) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await socket.close(code=code, message=why.encode()[:120])


def _record(connection: Connection, passed: _Passed, why: str) -> None:
    fields: dict[str, Any] = {
        "node": connection.node,
        "sent": passed.sent,
        "received": passed.received,
        "seconds": round(connection.seconds, 3),
    }
    note(**fields, ended=why)
    client = current_client.get().called
    info("port forward closed", pod=connection.pod.name, port=connection.port, client=client, **fields, ended=why)
