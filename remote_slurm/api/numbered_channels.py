"""Messages of a WebSocket that begin with the number of a channel, as Kubernetes has them for exec and port-forward."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

_PING_SECONDS = 30.0


class NumberedChannels:
    """The sender's side. Several tasks may send at the same time."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._sending = asyncio.Lock()

    async def send(self, channel: int, data: bytes) -> None:
        """Raises ConnectionError if the client is gone."""
        async with self._sending:
            await self._socket.send_bytes(bytes([channel]) + data)

    async def ping(self) -> None:
        """Send a ping every 30 seconds, until the client is gone: proxies close connections that are silent."""
        with contextlib.suppress(ConnectionError):
            while True:
                await asyncio.sleep(_PING_SECONDS)
                await self._socket.ping()
