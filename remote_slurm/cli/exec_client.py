"""The client of the sidecar's `/exec`: a command in a container, in Kubernetes' own protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

import aiohttp

from remote_slurm.api.exec_protocol import CLOSE, ERROR, PROTOCOLS, RESIZE, STDERR, STDIN, STDOUT
from remote_slurm.cli.credentials import Credentials
from remote_slurm.cli.replies import connection_problem, raise_refusals
from remote_slurm.errors import RemoteSlurmError, Unreachable

# Slurm may need its time to start a step
_ANSWER_SECONDS = 150.0
_MOST_MESSAGE_BYTES = 16 * 1024 * 1024
_CHUNK = 64 * 1024


class Broken(RemoteSlurmError):
    """The command was ended by something else than itself."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A command in a container; `container` is empty for the pod's first one."""

    namespace: str
    pod: str
    container: str
    command: tuple[str, ...]
    stdin: bool = False
    terminal: bool = False

    @property
    def path(self) -> str:
        parts = [self.namespace, self.pod, *([self.container] if self.container else [])]
        query = [("command", word) for word in self.command]
        flags = {"stdin": self.stdin, "stdout": True, "stderr": not self.terminal, "tty": self.terminal}
        query += [(name, "true") for name, value in flags.items() if value]
        return f"/exec/{'/'.join(quote(part, safe='') for part in parts)}?{urlencode(query)}"


class Streams(Protocol):
    """What the command reads and prints, at this side."""

    async def read_input(self) -> bytes:
        """The next bytes for standard input; empty after the last."""

    async def write_output(self, data: bytes) -> None: ...

    async def write_error(self, data: bytes) -> None: ...


@dataclass(slots=True)
class RunningExec:
    """A command that runs."""

    socket: aiohttp.ClientWebSocketResponse
    wanted: Wanted
    _status: dict[str, Any] = field(default_factory=dict)

    async def resize(self, columns: int, rows: int) -> None:
        """Tell the command how large the terminal is."""
        with contextlib.suppress(ConnectionError):
            await self._send(RESIZE, json.dumps({"Width": columns, "Height": rows}).encode())

    async def run(self, streams: Streams) -> int:
        """Pass on what it reads and prints, and return its exit code. Raises Broken, or what `streams` raises."""
        down = asyncio.create_task(self._copy_output(streams))
        up = asyncio.create_task(self._copy_input(streams.read_input)) if self.wanted.stdin else down
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if up.done():
                up.result()  # an input that cannot be read has no end
            await down
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        return self._exit_code()

    async def _copy_input(self, read: Callable[[], Awaitable[bytes]]) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await read():
                for start in range(0, len(data), _CHUNK):
                    await self._send(STDIN, data[start : start + _CHUNK])
            await self.socket.send_bytes(bytes([CLOSE, STDIN]))

    async def _copy_output(self, streams: Streams) -> None:
        write = {STDOUT: streams.write_output, STDERR: streams.write_error}
        while (message := await self.socket.receive()).type is aiohttp.WSMsgType.BINARY:
            channel, data = message.data[:1], message.data[1:]
            if channel == bytes([ERROR]) and data:
                self._status = json.loads(data)
            elif data and channel and channel[0] in write:
                await write[channel[0]](data)

    async def _send(self, channel: int, data: bytes) -> None:
        await self.socket.send_bytes(bytes([channel]) + data)

    def _exit_code(self) -> int:
        if self._status.get("status") == "Success":
            return 0
        causes = (self._status.get("details") or {}).get("causes") or []
        for cause in causes:
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
        raise Broken(self._status.get("message") or "the connection to the sidecar was lost, and the command is ended")


class ExecClient:
    """Asks one sidecar. Raises Refused with the sidecar's sentence, or Unreachable."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    @contextlib.asynccontextmanager
    async def running(self, wanted: Wanted) -> AsyncIterator[RunningExec]:
        """The command, which ends with the context."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                socket = await self._session.ws_connect(
                    wanted.path, protocols=PROTOCOLS, compress=0, max_msg_size=_MOST_MESSAGE_BYTES
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else connection_problem(error)
            raise Unreachable(f"no sidecar answers at {self._url}: {why}") from error
        try:
            yield RunningExec(socket, wanted)
        finally:
            await socket.close()


@contextlib.asynccontextmanager
async def at(url: str, shown: Credentials) -> AsyncIterator[ExecClient]:
    """The sidecar that listens there."""
    parts = urlsplit(url)
    unix = parts.scheme == "unix"
    connector = aiohttp.UnixConnector(parts.path) if unix else aiohttp.TCPConnector(ssl=shown.tls or True)
    async with aiohttp.ClientSession(
        "http://localhost" if unix else url,
        headers=shown.headers,
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        middlewares=(raise_refusals,),
    ) as session:
        yield ExecClient(session, url)
