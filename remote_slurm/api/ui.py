"""The page at `/ui`, and the data for it and for `remote-slurm top`. Nothing here changes anything.

The page comes from here whole, without a build step; its Content-Security-Policy lets it load nothing from elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib.resources import files

from aiohttp import web

from remote_slurm import __version__
from remote_slurm.api.access import current_client, require
from remote_slurm.api.handlers import ACCOUNTS
from remote_slurm.config.access import Verb
from remote_slurm.domain.pod.folder_name import namespace_of
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.errors import InvalidRequest
from remote_slurm.log import Recent
from remote_slurm.service.audit import note, pod_fields

RECENT = web.AppKey("recent", Recent)

# How often a visible page requests data; of a log, it shows the end
TAIL_LINES = 200
TAIL_BYTES = 64 * 1024

_FILES = files("remote_slurm.api") / "page"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

ui_routes = web.RouteTableDef()


@ui_routes.get("/ui")
async def page(_: web.Request) -> web.Response:
    return _file("index.html")


@ui_routes.get("/ui/")
async def page_with_a_slash(_: web.Request) -> web.Response:
    """Where its parts would not be found."""
    return web.Response(status=308, headers={"Location": "../ui"})


@ui_routes.get(r"/ui/{name:page\.(?:css|js)}")
async def part(request: web.Request) -> web.Response:
    return _file(request.match_info["name"])


@ui_routes.get("/ui/state")
async def state(request: web.Request) -> web.Response:
    """The site, its partitions, the pods, and what failed lately. Answered from memory."""
    view = await request.app[ACCOUNTS].view()
    client = current_client.get()
    troubles = [
        {"time": each.time, "level": each.level, "message": each.message, **each.fields}
        for each in request.app[RECENT].troubles
        if client.everything or client.may(Verb.LIST, str(each.fields.get("pod", "")).partition("/")[0])
    ]
    view = {**view, "pods": [each for each in view["pods"] if client.sees(each["pod"])]}
    return web.json_response(
        {"version": __version__, "time": time.time(), **view, "troubles": troubles}, headers=_HEADERS
    )


@ui_routes.get("/ui/history")
async def history(request: web.Request) -> web.Response:
    """The pods of the last hours, without their names. Answered from memory."""
    return web.json_response(request.app[ACCOUNTS].history(), headers=_HEADERS)


@ui_routes.get("/ui/log")
async def log(request: web.Request) -> web.Response:
    """The last lines of a container's log, as text."""
    pod, container = request.query.get("pod", ""), request.query.get("container", "")
    note(pod=pod_fields(pod), container=container)
    require(Verb.LOGS, [namespace_of(pod)])
    accounts = request.app[ACCOUNTS]
    if not accounts.shows(pod, container):
        raise InvalidRequest("unknown pod or container: must be one that the page shows")
    chunks = accounts.note(accounts.holding(pod)).log(LogSlice(pod, container, lines=TAIL_LINES, tail_bytes=TAIL_BYTES))
    async with aclosing(chunks):
        body = await _end_of(chunks)
    return web.Response(body=body, headers=_HEADERS | {"Content-Type": "text/plain; charset=utf-8"})


async def _end_of(chunks: AsyncIterator[bytes]) -> bytes:
    end = b""
    async for chunk in chunks:
        end = (end + chunk)[-TAIL_BYTES:]
    return end


def _file(name: str) -> web.Response:
    content_type = _TYPES[name.rpartition(".")[2]]
    return web.Response(
        body=(_FILES / name).read_bytes(), headers=_HEADERS | {"Content-Type": f"{content_type}; charset=utf-8"}
    )
