"""Asking a sidecar what interLink asks: one that is running, or one inside this process (embedded.py).

Both are asked over HTTP, so that whatever works here works in a cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import aiohttp

from remote_slurm.cli import credentials
from remote_slurm.cli.credentials import Credentials
from remote_slurm.cli.options import configured
from remote_slurm.cli.replies import Refused, connection_problem, refusal
from remote_slurm.domain.pod.folder_name import join_key
from remote_slurm.errors import RemoteSlurmError, Unreachable

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json
    from remote_slurm.config import Config  # with --url, no configuration is read

_NONE = Credentials()
_CREATE_SECONDS = 120  # as interLink
_ANSWER_SECONDS = 90
_PING_SECONDS = 10
_OK = 200


class SidecarClient:
    """The client. Every call raises Refused with the sidecar's sentence, or Unreachable."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url
        self.deleted: set[str] = set()

    async def create(self, body: Json) -> str:
        """The job's id; empty where it follows."""
        answer = await self._json("POST", "/create", body, _CREATE_SECONDS)
        return str(answer["PodJID"])

    async def status(self, pod: Json) -> Json | None:
        """interLink's PodStatus; None where nothing is known now."""
        answer = await self._json("GET", "/status", [pod], _ANSWER_SECONDS)
        return next(iter(answer), None)

    async def delete(self, pod: Json) -> None:
        """Accepted, and carried out in the background; `gone` waits for that."""
        async with self._request("POST", "/delete", pod, _ANSWER_SECONDS) as response:
            await response.read()
        self.deleted.add(folder_of(pod))

    async def gone(self, folder: str) -> None:
        """Return once neither job nor folder is left of the pod."""
        for wait in chain([0.1, 0.2, 0.4], repeat(1.0)):
            if all(each["pod"] != folder for each in (await self.pods())["pods"]):
                return
            await asyncio.sleep(wait)

    async def health(self) -> str:
        """`ok`, or why it is superseded. Raises Refused if a restart would help; does not ask the site."""
        async with self._request("GET", "/healthz", None, _PING_SECONDS) as response:
            return (await response.text()).strip()

    async def ping(self) -> Json:
        """The virtual node's capacity, from memory: does not wait for the site."""
        answer: Json = await self._json("GET", "/status", [], _PING_SECONDS)
        return answer

    async def reach(self) -> None:
        """Raises Unreachable where the sidecar cannot use the site now."""
        answer = await self._json("GET", "/system-info", None, _ANSWER_SECONDS)
        # a sidecar of the version before has no `reachable`
        if not answer.get("reachable", not answer.get("error")):
            raise Unreachable(answer["error"])

    async def pods(self, *, remembered: bool = False) -> Json:
        """All pods at the site, or as `remembered` those that the sidecar knows in an outage; service/dashboard.py."""
        answer: Json = await self._json("GET", f"/pods{'?remembered' if remembered else ''}", None, _ANSWER_SECONDS)
        return answer

    async def state(self) -> Json:
        """The site and its pods at one look; see service/dashboard.py."""
        answer: Json = await self._json("GET", "/ui/state", None, _ANSWER_SECONDS)
        return answer

    async def describe(self, pod: str) -> Json:
        """All that is known of the pod with this folder; see service/descriptions.py."""
        answer: Json = await self._json("GET", f"/describe?{urlencode({'pod': pod})}", None, _ANSWER_SECONDS)
        return answer

    async def tail(self, pod: str, container: str) -> str:
        """The last lines of a log, as /ui shows them."""
        query = urlencode({"pod": pod, "container": container})
        async with self._request("GET", f"/ui/log?{query}", None, _ANSWER_SECONDS) as response:
            return (await response.read()).decode(errors="replace")

    async def log(self, request: Json) -> AsyncGenerator[bytes, None]:
        """The bytes of a log as they come."""
        async with self._request("GET", "/getLogs", request, None) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def _json(self, method: str, path: str, body: Any, seconds: float) -> Any:
        async with self._request(method, path, body, seconds) as response:
            return json.loads(await response.read())

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Any, seconds: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=10)
        try:
            async with self._session.request(method, path, json=body, timeout=timeout) as response:
                if response.status != _OK:
                    raise Refused(response.status, await refusal(response))
                yield response
        except TimeoutError as error:
            raise Unreachable(f"the sidecar at {self.url} did not answer {path} in time") from error
        except aiohttp.ClientPayloadError as error:
            raise Unreachable(f"the answer of the sidecar at {self.url} to {path} broke off before its end") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"no sidecar answers at {self.url}: {connection_problem(error)}") from error


def folder_of(pod: Json) -> str:
    """The name of the pod's folder at the site."""
    return join_key(pod["metadata"]["namespace"], pod["metadata"]["uid"])


@contextlib.asynccontextmanager
async def at(url: str, shown: Credentials = _NONE) -> AsyncIterator[SidecarClient]:
    """The sidecar that listens there."""
    parts = urlsplit(url)
    headers = shown.headers
    if parts.scheme == "unix":
        session = aiohttp.ClientSession(
            "http://localhost", headers=headers, connector=aiohttp.UnixConnector(parts.path)
        )
    else:
        connector = aiohttp.TCPConnector(ssl=shown.tls or True)
        session = aiohttp.ClientSession(url, headers=headers, connector=connector)
    async with session:
        yield SidecarClient(session, url)


@contextlib.asynccontextmanager
async def running(arguments: argparse.Namespace) -> AsyncIterator[SidecarClient]:
    """The one that --url names, else the configured one, whether it answers or not."""
    if arguments.url:
        url, shown = arguments.url, credentials.named(arguments)
    else:
        config = configured(arguments)
        url, shown = listening_at(config), credentials.configured(config)
    async with at(url, shown) as sidecar:
        yield sidecar


@contextlib.asynccontextmanager
async def chosen(arguments: argparse.Namespace) -> AsyncIterator[SidecarClient]:
    """The one that --url names; else the configured one, where it runs; else one inside."""
    if arguments.url:
        async with at(arguments.url, credentials.named(arguments)) as sidecar:
            yield sidecar
        return
    config = configured(arguments)
    async with contextlib.AsyncExitStack() as stack:
        found = await _configured_one(config, stack)
        if found is None:
            from remote_slurm.cli.embedded import inside  # where a sidecar is running, none is loaded

            found = await stack.enter_async_context(inside(config))
        yield found


async def _configured_one(config: Config, stack: contextlib.AsyncExitStack) -> SidecarClient | None:
    """The sidecar that listens at the configured address, if it is one, and serves this site."""
    if not config.socket and not config.sidecar_port:
        return None
    try:
        sidecar = await stack.enter_async_context(at(listening_at(config), credentials.configured(config)))
        found = await sidecar.pods(remembered=True)
    except RemoteSlurmError:
        return None
    return sidecar if found.get("site") in [each.site_address for each in config.accounts.values()] else None


def listening_at(config: Config) -> str:
    """The URL of the sidecar that has this configuration."""
    if config.socket:
        return f"unix://{config.socket}"
    host = f"[{config.bind_address}]" if ":" in config.bind_address else config.bind_address
    return f"{'https' if config.tls.enabled else 'http'}://{host}:{config.sidecar_port}"
