"""Commands in containers, in Kubernetes' own protocol: WebSockets with v5.channel.k8s.io or v4.channel.k8s.io.

The paths are those of a kubelet and of the Kubernetes API server, with the query parameters of either. The first byte
of each message is its channel. A command that was refused is answered with a status and a sentence, before the
WebSocket is accepted. See k8s.io/apimachinery/pkg/util/remotecommand and k8s.io/kubelet/pkg/cri/streaming.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from remote_slurm.api.access import current_client, require
from remote_slurm.api.exec_protocol import CLOSE, ERROR, PROTOCOLS, RESIZE, STDERR, STDIN, STDOUT
from remote_slurm.api.numbered_channels import NumberedChannels
from remote_slurm.config.access import Verb
from remote_slurm.domain.exec_request import ExecRequest, TerminalSize
from remote_slurm.errors import OutcomeUnknown, SiteError
from remote_slurm.log import info
from remote_slurm.service.audit import note, pod_fields
from remote_slurm.service.execs import Command, Execs

EXECS = web.AppKey("execs", Execs)
_MOST_MESSAGE_BYTES = 16 * 1024 * 1024
_CLOSE_SECONDS = 5.0
# Proxies close connections that are silent, often after a minute
_TRUE = {"1", "true"}

exec_routes = web.RouteTableDef()


@exec_routes.get("/exec/{namespace}/{pod}")
@exec_routes.get("/exec/{namespace}/{pod}/{container}")
@exec_routes.get("/api/v1/namespaces/{namespace}/pods/{pod}/exec")
async def run(request: web.Request) -> web.WebSocketResponse:
    """Run a command, and pass on what it reads and prints."""
    namespace, name = request.match_info["namespace"], request.match_info["pod"]
    require(Verb.EXEC, [namespace])
    note(pod={"namespace": namespace, "name": name})
    wanted = _request(request)
    note(container=wanted.container, command=_described(wanted))
    found = await request.app[EXECS].find(namespace, name)
    note(pod=pod_fields(found.key, found.name))
    socket = web.WebSocketResponse(
        protocols=PROTOCOLS, max_msg_size=_MOST_MESSAGE_BYTES, compress=False, timeout=_CLOSE_SECONDS
    )
    if not (ready := socket.can_prepare(request)) or not ready.protocol:
        raise web.HTTPUpgradeRequired(reason=f"ask for a WebSocket with the protocol {' or '.join(PROTOCOLS)}")
    async with request.app[EXECS].running(found, wanted) as command:
        note(container=command.request.container)
        await socket.prepare(request)
        passing = _Passing(socket, command, _wants(request, "stdout", "output"), _wants(request, "stderr", "error"))
        try:
            await passing.run()
        finally:
            _record(command, passing)
    return socket


def _request(request: web.Request) -> ExecRequest:
    terminal = _wants(request, "tty")
    return ExecRequest(
        container=request.match_info.get("container") or request.query.get("container", ""),
        command=tuple(request.query.getall("command", [])),
        stdin=_wants(request, "stdin", "input"),
        terminal=TerminalSize() if terminal else None,
    )


def _wants(request: web.Request, *names: str) -> bool:
    return any(request.query.get(name, "").lower() in _TRUE for name in names)


def _described(wanted: ExecRequest) -> dict[str, object]:
    """What the audit log has of a command: arguments may be secrets."""
    first = wanted.command[0] if wanted.command else ""
    return {"program": first, "arguments": max(0, len(wanted.command) - 1), "bytes": sum(map(len, wanted.command))}


@dataclass(slots=True)
class _Passing:
    """Passes on what a command reads and prints, until it ends or the client is gone."""

    socket: web.WebSocketResponse
    command: Command
    wants_output: bool
    wants_error: bool
    sent: int = 0
    received: int = 0
    why: str = ""
    _channels: NumberedChannels = field(init=False)

    def __post_init__(self) -> None:
        self._channels = NumberedChannels(self.socket)

    async def run(self) -> None:
        # an empty message tells a client that the command runs
        await self._channels.send(STDOUT if self.wants_output else STDERR if self.wants_error else ERROR, b"")
        session = self.command.session
        printing = asyncio.ensure_future(self._print())
        reading = asyncio.create_task(self._read())
        pinging = asyncio.create_task(self._channels.ping())
        try:
            await asyncio.wait({printing, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not printing.done():
                self.why = "the client is gone"
                return
            printing.result()
            await self._report()
        except ConnectionError:
            self.why = "the client is gone"
        except SiteError as error:
            self.why = self.command.ended or str(error)
            with contextlib.suppress(ConnectionError):
                await self._send_status(_internal_error(self.why))
        finally:
            session.close()
            for task in (printing, reading, pinging):
                task.cancel()
            await asyncio.gather(printing, reading, pinging, return_exceptions=True)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self.socket.close(code=WSCloseCode.OK)

    # --- what the command prints ---

    async def _print(self) -> None:
        session, terminal = self.command.session, self.command.request.terminal
        streams = [self._copy(session.read_output, STDOUT, wanted=self.wants_output)]
        if terminal is None:
            streams.append(self._copy(session.read_error, STDERR, wanted=self.wants_error))
        await asyncio.gather(*streams)

    async def _copy(self, read: Callable[[], Awaitable[bytes]], channel: int, *, wanted: bool) -> None:
        while data := await read():
            if wanted:
                await self._channels.send(channel, data)
                self.received += len(data)

    async def _report(self) -> None:
        code = self.command.session.exit_code
        if code is None:
            self.why = self.command.ended or "something else than the command has ended its step"
            await self._send_status(_internal_error(self.why))
        else:
            await self._send_status(_exit_status(code))

    async def _send_status(self, status: dict[str, Any]) -> None:
        await self._channels.send(ERROR, json.dumps(status).encode())

    # --- what the client sends ---

    async def _read(self) -> None:
        """Return once the client is gone."""
        async for message in self.socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            with contextlib.suppress(OutcomeUnknown):  # the command takes nothing more
                await self._take(data)

    async def _take(self, data: bytes) -> None:
        session, wanted = self.command.session, self.command.request
        channel = data[0] if data else -1
        if channel == STDIN and wanted.stdin and len(data) > 1:
            await session.write_input(data[1:])
            self.sent += len(data) - 1
        elif channel == RESIZE and wanted.terminal and (size := _size(data[1:])):
            session.resize(size)
        elif data == bytes([CLOSE, STDIN]) and self.socket.ws_protocol == PROTOCOLS[0]:
            await session.end_input()


def _size(data: bytes) -> TerminalSize | None:
    """The size that a client sends as {"Width": 80, "Height": 24}; None if it is none."""
    try:
        found = json.loads(data)
        return TerminalSize.of(int(found["Width"]), int(found["Height"]))
    except (ValueError, KeyError, TypeError):
        return None


def _exit_status(code: int) -> dict[str, Any]:
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _internal_error(sentence: str) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": sentence,
        "reason": "InternalError",
        "details": {"causes": [{"message": sentence}]},
        "code": 500,
    }


def _record(command: Command, passing: _Passing) -> None:
    code = command.session.exit_code
    fields: dict[str, Any] = {
        "sent": passing.sent,
        "received": passing.received,
        "seconds": round(command.seconds, 3),
        "ended": passing.why,
    }
    fields |= {} if code is None else {"exitCode": code}
    note(**fields)
    wanted = command.request
    client = current_client.get().called
    fields |= _described(wanted)
    info("ran a command", pod=command.pod.name, container=wanted.container, client=client, **fields)
