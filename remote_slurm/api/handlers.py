"""interLink's endpoints: decode, call the service, encode.

The shapes are those of interLink's Go client, 0.2 to 0.7.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing

from aiohttp import web

from remote_slurm.api.access import current_client, require
from remote_slurm.api.auditing import log_begins, note_pod
from remote_slurm.api.bodies import STATUS_VALUES, Bodies, parsed
from remote_slurm.api.limits import LIMITS
from remote_slurm.api.logs import parse_log_request
from remote_slurm.api.middleware import SESSION_HEADER
from remote_slurm.config.access import Verb
from remote_slurm.domain.pod.folder_name import namespace_of, split_key
from remote_slurm.domain.pod.model import CreateRequest, parse_pod, parse_pods
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.errors import InvalidRequest, OutcomeUnknown, RemoteSlurmError, SiteError
from remote_slurm.log import info, warning
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.audit import note, pod_fields
from remote_slurm.service.orphans import Asker
from remote_slurm.service.rendering import Rendering

ACCOUNTS = web.AppKey("accounts", Accounts)
BODIES = web.AppKey("bodies", Bodies)
RENDERING = web.AppKey("rendering", Rendering)

# interLink waits for response headers for 120 s
FIRST_LOG_BYTES_SECONDS = 60.0
# A client must take something of so much of a log within Limits.reader_seconds
_PART_BYTES = 256 * 1024

routes = web.RouteTableDef()


@routes.post("/create")
async def create(request: web.Request) -> web.Response:
    async with request.app[BODIES].json(request) as (body, size):
        async with request.app[RENDERING].turn(size):
            creating = await parsed(request, size, CreateRequest.parse, body, size)
        note_pod(creating.pod)
        require(Verb.CREATE, [creating.pod.metadata.namespace])
        del body
        accounts = request.app[ACCOUNTS]
        created = await accounts.note(accounts.of(creating.pod)).create(creating)
    note(jobId=created.job_id)
    return web.json_response({"PodUID": created.pod_uid, "PodJID": created.job_id})


@routes.get("/status")
async def status(request: web.Request) -> web.Response:
    """An empty list is the ping."""
    async with request.app[BODIES].json(request, STATUS_VALUES) as (body, size):
        pods = await parsed(request, size, parse_pods, body)
    require(Verb.STATUS, [pod.metadata.namespace for pod in pods])
    if not pods:
        return web.json_response(request.app[ACCOUNTS].ping())
    client = current_client.get()
    asker = Asker(client.name, lambda namespace: client.may(Verb.STATUS, namespace))
    return web.json_response(request.app[ACCOUNTS].status(pods, asker))


@routes.post("/delete")
@routes.delete("/delete")
async def delete(request: web.Request) -> web.Response:
    async with request.app[BODIES].json(request) as (body, size):
        pod = await parsed(request, size, parse_pod, body, "delete")
    note_pod(pod)
    require(Verb.DELETE, [pod.metadata.namespace])
    request.app[ACCOUNTS].delete(pod)
    return web.Response(text=f"pod {pod.full_name} will be deleted")


@routes.get("/getLogs")
async def get_logs(request: web.Request) -> web.StreamResponse:
    async with request.app[BODIES].json(request) as (body, size):
        what = await parsed(request, size, parse_log_request, body)
    note(pod=pod_fields(what.pod), container=what.container)
    require(Verb.LOGS, [namespace_of(what.pod)])
    accounts = request.app[ACCOUNTS]
    chunks = accounts.note(accounts.holding(what.pod)).log(what)
    async with aclosing(chunks):
        try:
            first = await _first(chunks, what)
        except (InvalidRequest, SiteError) as error:
            if SESSION_HEADER not in request.headers:
                raise
            return _in_the_log(request, what.pod, error)
        log_begins()
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        try:
            if not await _copy(request, first, chunks, response):
                await _say_of_empty(request, response, what.pod)
            await response.write_eof()
        except SiteError as error:
            await _break_off(request, response, error)
        except TimeoutError:
            warning(
                "closed the connection of a log reader that does not read",
                pod=what.pod,
                container=what.container,
                seconds=request.app[LIMITS].reader_seconds,
            )
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            info("the reader of a log disconnected", pod=what.pod, container=what.container)
        return response


def _in_the_log(request: web.Request, pod: str, error: RemoteSlurmError) -> web.Response:
    """For interLink, whose users see no answer but a log: any other status is replaced by a sentence of interLink's."""
    sentence = " ".join(str(error).split())
    since = request.app[ACCOUNTS].holding(pod).unreachable_since if isinstance(error, SiteError) else None
    if since is not None:
        sentence += f" (the site is unreachable since {since:%Y-%m-%dT%H:%M:%SZ})"
    info("log is not available", pod=pod, reason=sentence)
    return web.Response(text=f"remote-slurm: {sentence}\n")


async def _say_of_empty(request: web.Request, response: web.StreamResponse, pod: str) -> None:
    """Write one line for interLink if the pod of an empty log is being deleted."""
    if SESSION_HEADER in request.headers and request.app[ACCOUNTS].is_being_deleted(pod):
        await _write(request, response, b"remote-slurm: the log is empty: its pod is being deleted\n")


async def _copy(request: web.Request, first: bytes, chunks: AsyncIterator[bytes], response: web.StreamResponse) -> int:
    """Write the chunks to the response. Return how many bytes they have."""
    await _write(request, response, first)
    size = len(first)
    async for chunk in chunks:
        await _write(request, response, chunk)
        size += len(chunk)
    return size


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    """Raises TimeoutError if the client takes no part of it for a while: a reader at the site waits for each client."""
    for start in range(0, len(data), _PART_BYTES):
        async with asyncio.timeout(request.app[LIMITS].reader_seconds):
            await response.write(data[start : start + _PART_BYTES] if len(data) > _PART_BYTES else data)


async def _break_off(request: web.Request, response: web.StreamResponse, error: SiteError) -> None:
    """Write the reason as a last line, and close without the end of the body: a log that is cut must not look whole."""
    warning("a log was cut off before its end", reason=error)
    with contextlib.suppress(ConnectionError):
        await response.write(f"\n(remote-slurm: the log breaks off here: {error})\n".encode())
    response.force_close()
    if request.transport is not None:
        request.transport.close()


@routes.get("/system-info")
async def system_info(request: web.Request) -> web.Response:
    report = await request.app[ACCOUNTS].system_info()
    client = current_client.get()
    orphans = [each for each in report["orphans"] if client.may(Verb.INFO, namespace_of(each["pod"]))]
    return web.json_response({**report, "orphans": orphans})


@routes.get("/pods")
async def pods(request: web.Request) -> web.Response:
    """All pods at the site; with ?remembered, those that are known during an outage. Our own command line asks."""
    report = await request.app[ACCOUNTS].list_pods(remembered="remembered" in request.query)
    client = current_client.get()
    return web.json_response({**report, "pods": [each for each in report["pods"] if client.sees(each["pod"])]})


@routes.get("/describe")
async def describe(request: web.Request) -> web.Response:
    """All that is known of one pod, by the name of its folder. Our own command line asks."""
    namespace, uid = split_key(request.query.get("pod", "")) or ("", "")
    pod = parse_pod({"metadata": {"name": uid, "namespace": namespace, "uid": uid}}, "describe")
    note(pod=pod_fields(pod.key))
    require(Verb.LIST, [namespace])
    accounts = request.app[ACCOUNTS]
    return web.json_response(await accounts.note(accounts.holding(pod.key)).descriptions.of(pod.key))


async def _first(chunks: AsyncIterator[bytes], what: LogSlice) -> bytes:
    try:
        return await asyncio.wait_for(anext(chunks), FIRST_LOG_BYTES_SECONDS)
    except TimeoutError:
        raise OutcomeUnknown(
            f"the site sent no log of container '{what.container}' of pod {what.pod} within "
            f"{FIRST_LOG_BYTES_SECONDS:g} s: ask again"
        ) from None
