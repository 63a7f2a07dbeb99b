"""interLink's endpoints: decode, call the service, encode.

The shapes are those of interLink's Go client, 0.2 to 0.7.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from remote_slurm.api.logs import parse_log_request
from remote_slurm.domain.pod import CreateRequest, parse_pod, parse_pods
from remote_slurm.errors import OutcomeUnknown, Rejected, SiteError
from remote_slurm.events import event
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.turns import Turns

ACCOUNTS = web.AppKey("accounts", Accounts)
TURNS = web.AppKey("turns", Turns)

# interLink waits for response headers for 120 s
FIRST_LOG_BYTES_SECONDS = 60.0

routes = web.RouteTableDef()


@routes.post("/create")
async def create(request: web.Request) -> web.Response:
    await request.read()
    async with request.app[TURNS].turn():
        asked = CreateRequest.parse(await _body(request))
    created = await request.app[ACCOUNTS].create(asked)
    return web.json_response({"PodUID": created.pod_uid, "PodJID": created.job_id})


@routes.get("/status")
async def status(request: web.Request) -> web.Response:
    """An empty list is the ping."""
    pods = parse_pods(await _body(request))
    if not pods:
        return web.json_response(request.app[ACCOUNTS].ping())
    return web.json_response(request.app[ACCOUNTS].status(pods))


@routes.post("/delete")
@routes.delete("/delete")
async def delete(request: web.Request) -> web.Response:
    pod = parse_pod(await _body(request), "delete")
    request.app[ACCOUNTS].delete(pod)
    return web.Response(text=f"pod {pod.full_name} will be deleted")


@routes.get("/getLogs")
async def get_logs(request: web.Request) -> web.StreamResponse:
    what = parse_log_request(await _body(request))
    chunks = request.app[ACCOUNTS].log(what)
    async with aclosing(chunks):
        first = await _first(chunks)
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        try:
            await _copy(first, chunks, response)
        except ConnectionResetError:
            event("the reader of a log went away", pod=what.pod, container=what.container)
        return response


async def _copy(first: bytes, chunks: AsyncIterator[bytes], response: web.StreamResponse) -> None:
    """The status has left already, so a site that fails on the way can only be told in the text."""
    try:
        await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)
    except SiteError as error:
        await response.write(f"\n(remote-slurm: the log breaks off here: {error})\n".encode())
    await response.write_eof()


@routes.get("/system-info")
async def system_info(request: web.Request) -> web.Response:
    return web.json_response(await request.app[ACCOUNTS].system_info())


@routes.get("/pods")
async def pods(request: web.Request) -> web.Response:
    """All pods at the site. Not interLink's: our own command line asks."""
    return web.json_response(await request.app[ACCOUNTS].overview())


async def _body(request: web.Request) -> Any:
    """The JSON of a request, GET's too. Raises Rejected where it is none."""
    raw = await request.read()
    try:
        text = raw.decode()
        body = json.loads(text)
        if b"\\u" in raw:  # half a surrogate pair is JSON, and no text; there is no other way to write one
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Rejected(f"the body of {request.method} {request.path} is not JSON: {_shortly(error)}") from error
    return body


def _shortly(error: Exception) -> str:
    """Without the text that is wrong: it may hold a Secret."""
    if isinstance(error, json.JSONDecodeError) and not error.doc:
        return "it is empty"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else "it is not UTF-8"


async def _first(chunks: AsyncIterator[bytes]) -> bytes:
    try:
        return await asyncio.wait_for(anext(chunks), FIRST_LOG_BYTES_SECONDS)
    except TimeoutError:
        raise OutcomeUnknown("the site did not answer a request for a log in time") from None
