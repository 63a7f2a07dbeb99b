"""Who asks a server: one question for each connection, as clients that come and go do."""

import asyncio
import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from remote_slurm.service.pods import Pods


@dataclass(frozen=True)
class Reply:
    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Api:
    """A server, and the pods behind it."""

    url: str
    pods: Pods
    watch_url: str = ""
    app: Any = None

    @property
    def watched(self) -> "Api":
        """The port of those who watch."""
        return Api(self.watch_url, self.pods)

    async def looked(self) -> None:
        """Begin to poll the site, and return after the first poll."""
        self.pods.start()
        await until(lambda: self.pods.poller.last_success is not None)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.ask("GET", path, **options)

    async def send(self, method: str, path: str, body: bytes, **headers: str) -> Reply:
        """A body as it is, whatever it is and whatever the headers say of it."""
        headers = {"Content-Type": "application/json", **headers}
        async with (
            aiohttp.ClientSession(self.url) as session,
            session.request(method, path, data=io.BytesIO(body), headers=headers) as response,
        ):
            return Reply(response.status, await response.text(), dict(response.headers))

    async def raw(self, request: bytes) -> Reply:
        """What comes back for these bytes until the server closes the connection, or has said all of one answer."""
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        text = await reader.readexactly(int(length[1]) if length else 0)
        writer.close()
        return Reply(int(head.split()[1]), text.decode())

    async def ask(self, method: str, path: str, *, tls: Any = None, json: Any = None, **headers: str) -> Reply:
        parts = urlsplit(self.url)
        unix = aiohttp.UnixConnector(parts.path) if parts.scheme == "unix" else None
        base = "http://localhost" if unix else self.url
        async with (
            aiohttp.ClientSession(base, connector=unix) as session,
            session.request(method, path, json=json, headers=headers, ssl=tls or True) as response,
        ):
            return Reply(response.status, await response.text(), dict(response.headers))


async def until(condition: Callable[[], Any]) -> None:
    """Wait until the condition holds; TimeoutError when it does not come to that."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - its condition has no event
            await asyncio.sleep(0.01)


def bearer(token: str) -> str:
    return f"Bearer {token}"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
