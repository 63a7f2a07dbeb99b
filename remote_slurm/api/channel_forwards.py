"""Connections to ports of a pod in Kubernetes' own protocol: one WebSocket with v4.channel.k8s.io for all of them.

The paths are those of a kubelet and of the Kubernetes API server. The first byte of each message is its channel: port
number i has the channel 2i for its bytes, and 2i+1 for what went wrong. The protocol has no end of one direction: a
connection ends with the WebSocket, or when the program ends it. See k8s.io/kubelet/pkg/cri/streaming/portforward.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from remote_slurm.api.access import current_client
from remote_slurm.api.forwards import FORWARDS, found_pod, port_number
from remote_slurm.api.numbered_channels import NumberedChannels
from remote_slurm.domain.pod.folder_name import join_key
from remote_slurm.errors import InvalidRequest, OutcomeUnknown, PodNotFound, PortUnreachable
from remote_slurm.log import info
from remote_slurm.service.audit import note
from remote_slurm.service.port_forwards import Connection

CHANNELS = "v4.channel.k8s.io"
_MOST_MESSAGE_BYTES = 16 * 1024 * 1024
# Channels are numbered by a byte
_MOST_PORTS = 127
_CLOSE_SECONDS = 5.0
# Proxies close connections that are silent, often after a minute

channel_routes = web.RouteTableDef()


@channel_routes.get("/portForward/{namespace}/{pod}")
@channel_routes.get("/portForward/{namespace}/{pod}/{uid}")
@channel_routes.get("/api/v1/namespaces/{namespace}/pods/{pod}/portforward")
async def forward(request: web.Request) -> web.WebSocketResponse:
    """Connect to each port, and pass on the bytes until all connections have ended, or the client is gone."""
    found, ports = await found_pod(request), _ports(request)
    if (uid := request.match_info.get("uid")) and join_key(request.match_info["namespace"], uid) != found.key:
        raise PodNotFound(f"pod {found.name} has another UID than {uid}")
    note(ports=ports)
    socket = web.WebSocketResponse(
        protocols=(CHANNELS,), max_msg_size=_MOST_MESSAGE_BYTES, compress=False, timeout=_CLOSE_SECONDS
    )
    # a kubelet also accepts a client that asks for no protocol, as those of fabric8 do
    ready = socket.can_prepare(request)
    if not ready or not (ready.protocol or not request.headers.get("Sec-WebSocket-Protocol")):
        raise web.HTTPUpgradeRequired(reason=f"ask for a WebSocket with the protocol {CHANNELS}")
    async with contextlib.AsyncExitStack() as stack:
        channels = []
        for index, port in enumerate(ports):
            connection, why = None, ""
            try:
                connection = await stack.enter_async_context(request.app[FORWARDS].connected(found, port))
            except PortUnreachable as error:
                why = f"error forwarding port {port} to pod {found.name}: {error}"
            channels.append(_Port(index, port, connection, why))
        await socket.prepare(request)
        passing = _Passing(socket, channels)
        try:
            await passing.run()
        finally:
            _record(passing)
    return socket


def _ports(request: web.Request) -> list[int]:
    """The ports of the query: `port` as a kubelet calls it, `ports` as the API server does. Raises InvalidRequest."""
    values = [*request.query.getall("ports", []), *request.query.getall("port", [])]
    ports = [port_number(text) for value in values for text in value.split(",")]
    if not ports:
        raise InvalidRequest("no port is given: name the ports of the pod in the query, as in ports=8888")
    if len(set(ports)) < len(ports):
        raise InvalidRequest("a port is given twice: name each port once")
    if len(ports) > _MOST_PORTS:
        raise InvalidRequest(f"{len(ports)} ports are given: at most {_MOST_PORTS} are possible")
    return ports


@dataclass(eq=False, slots=True)
class _Port:
    """The two channels of a port. `why` is what went wrong, if anything did."""

    index: int
    port: int
    connection: Connection | None
    why: str = ""
    sent: int = 0
    received: int = 0

    @property
    def data_channel(self) -> int:
        return 2 * self.index

    @property
    def error_channel(self) -> int:
        return 2 * self.index + 1


@dataclass(slots=True)
class _Passing:
    """Passes on the bytes of all ports."""

    socket: web.WebSocketResponse
    ports: list[_Port]
    _channels: NumberedChannels = field(init=False)

    def __post_init__(self) -> None:
        self._channels = NumberedChannels(self.socket)

    async def run(self) -> None:
        reading = asyncio.create_task(self._read())
        pinging = asyncio.create_task(self._channels.ping())
        serving = asyncio.ensure_future(self._serve())
        try:
            await asyncio.wait({reading, serving}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        except ConnectionError:
            pass  # the client is gone
        finally:
            for task in (reading, pinging, serving):
                task.cancel()
            await asyncio.gather(reading, pinging, serving, return_exceptions=True)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.socket.close(code=WSCloseCode.OK)

    async def _serve(self) -> None:
        for each in self.ports:  # each channel begins with the number of its port
            for channel in (each.data_channel, each.error_channel):
                await self._channels.send(channel, each.port.to_bytes(2, "little"))
        await asyncio.gather(*(self._to_client(each) for each in self.ports))

    async def _to_client(self, port: _Port) -> None:
        if port.connection is not None:
            try:
                while data := await port.connection.stream.read():
                    await self._channels.send(port.data_channel, data)
                    port.received += len(data)
            except OutcomeUnknown as error:
                port.why = port.connection.ended or str(error)
        if port.why:
            await self._channels.send(port.error_channel, port.why.encode())

    async def _read(self) -> None:
        """Return once the client is gone."""
        async for message in self.socket:
            if message.type is not WSMsgType.BINARY:
                return
            index, is_error = divmod(message.data[0], 2) if message.data else (len(self.ports), 0)
            if is_error or index >= len(self.ports):
                continue
            port = self.ports[index]
            if port.connection is None:
                continue
            with contextlib.suppress(OutcomeUnknown):  # the program takes nothing more
                await port.connection.stream.write(message.data[1:])
                port.sent += len(message.data) - 1


def _record(passing: _Passing) -> None:
    client = current_client.get().called
    for each in passing.ports:
        if each.connection is not None:
            connection = each.connection
            fields: dict[str, Any] = {"node": connection.node, "sent": each.sent, "received": each.received}
            fields["seconds"] = round(connection.seconds, 3)
            info(
                "port forward closed", pod=connection.pod.name, port=each.port, client=client, **fields, ended=each.why
            )
            note(node=connection.node, seconds=round(connection.seconds, 3))
    note(
        sent=sum(each.sent for each in passing.ports),
        received=sum(each.received for each in passing.ports),
        ended="; ".join(each.why for each in passing.ports if each.why),
    )
