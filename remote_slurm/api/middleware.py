"""What every request goes through: interLink's session id in the log, and one clear sentence for every error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from remote_slurm.errors import Rejected, RemoteSlurmError, SiteError, SubmissionRefused
from remote_slurm.events import event, session_id

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SESSION_HEADER = "InterLink-Http-Session"


@web.middleware
async def session(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every line that is logged for this request carries interLink's correlation id."""
    token = session_id.set(request.headers.get(SESSION_HEADER, "")[:100])
    try:
        return await handler(request)
    finally:
        session_id.reset(token)


@web.middleware
async def sentences(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The body of an error is what the pod's owner reads in `kubectl describe pod`."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _refuse(request, error.status, _http_sentence(request, error), error.headers.get("WWW-Authenticate"))
    except RemoteSlurmError as error:
        return _refuse(request, _status_of(error), str(error))
    except web.RequestPayloadError:
        return _refuse(request, 400, _unreadable(request))
    except Exception as error:
        logging.getLogger("remote_slurm").debug("the traceback of an unexpected error", exc_info=error)
        return _refuse(request, 500, f"the sidecar failed with an unexpected {type(error).__name__}: see its log")


def _status_of(error: RemoteSlurmError) -> int:
    """By what the caller should do: correct the request, accept Slurm's no, or come back later."""
    codes = ((Rejected, 400), (SubmissionRefused, 422), (SiteError, 503))
    return next((code for kind, code in codes if isinstance(error, kind)), 500)


def _http_sentence(request: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"the request is larger than MaxRequestSize allows: {error.text}"
    asked = f"{request.method} {request.path}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{asked} is not answered: ask with {' or '.join(sorted(error.allowed_methods - {'HEAD'}))}"
    if isinstance(error, web.HTTPNotFound):
        return f"{asked} is not answered here: the paths are {', '.join(_paths(request.app))}"
    return f"{asked}: {error.reason}"


def _paths(app: web.Application) -> list[str]:
    """Those that somebody would ask by hand."""
    paths = {resource.canonical for resource in app.router.resources()}
    return sorted(path for path in paths if path.count("/") == 1)


def _unreadable(request: web.Request) -> str:
    """What came is not what its headers say: chunks that are none, or another encoding."""
    encoding = request.headers.get("Content-Encoding", "")
    hint = f"it is no {encoding[:20]}, though Content-Encoding says so" if encoding else "it broke off, or is no HTTP"
    return f"the body of {request.method} {request.path} cannot be read: {hint}"


def _refuse(request: web.Request, status: int, sentence: str, scheme: str | None = None) -> web.Response:
    sentence = " ".join(sentence.split())  # what a remote command said may be on several lines
    level = logging.ERROR if status >= 500 else logging.WARNING  # noqa: PLR2004 - HTTP's own boundary
    event(sentence, level=level, request=f"{request.method} {request.path}", status=status)
    headers = {"WWW-Authenticate": scheme} if scheme else None
    return web.Response(status=status, text=sentence, headers=headers)
