"""What every request goes through: interLink's session id in the log, and one clear sentence for every error."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from remote_slurm.errors import (
    Code,
    Forbidden,
    InvalidRequest,
    PodNotFound,
    PodNotRunning,
    PortUnreachable,
    RemoteSlurmError,
    SiteError,
    SubmissionRefused,
)
from remote_slurm.log import debug, session_id, warning
from remote_slurm.log import error as log_error
from remote_slurm.service.port_forwards import TooManyConnections
from remote_slurm.service.token_reviews import ReviewFailed

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Characters of an answer that refuses something, and of a path in it
_LONGEST = 1500
_SHOWN = 200

_STATUSES = (
    (Forbidden, 403),
    (PodNotFound, 404),
    (InvalidRequest, 400),
    (SubmissionRefused, 422),
    (TooManyConnections, 429),
    (SiteError, 503),
    (ReviewFailed, 503),
)

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
        answer = _refuse(request, error.status, _http_sentence(request, error), error.headers.get("WWW-Authenticate"))
        if error.headers.get("Connection") == "close":
            answer.force_close()
        return answer
    except RemoteSlurmError as error:
        return _refuse(request, status_of(error), str(error))
    except web.RequestPayloadError:
        return _refuse(request, 400, _unreadable(request))
    except Exception as error:
        logging.getLogger("remote_slurm").debug("the traceback of an unexpected error", exc_info=error)
        return _refuse(request, 500, f"the sidecar failed with an unexpected {type(error).__name__}: see its log")


@web.middleware
async def plain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """interLink never compresses, and what a few bytes inflate to would be anybody's guess."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise web.HTTPUnsupportedMediaType(reason="send the body without a Content-Encoding")
    return await handler(request)


def status_of(error: Exception) -> int:
    """By what the caller should do: correct the request, accept Slurm's no, or come back later."""
    if isinstance(error, web.HTTPException):
        return error.status
    if isinstance(error, web.RequestPayloadError):
        return 400
    if isinstance(error, PodNotRunning):
        return 410 if error.ended else 409
    if isinstance(error, PortUnreachable):
        return 504 if error.code is Code.NO_ANSWER else 502
    return next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)


def _http_sentence(request: web.Request, error: web.HTTPException) -> str:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"the request is larger than MaxRequestSize allows: {error.text}"
    asked = f"{request.method} {request.path[:_SHOWN]}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{asked} is not answered: ask with {' or '.join(sorted(error.allowed_methods - {'HEAD'}))}"
    if isinstance(error, web.HTTPNotFound):
        return f"{asked} is not answered here: the paths are {', '.join(_paths(request.app))}"
    return f"{asked}: {error.reason}"


def _paths(app: web.Application) -> list[str]:
    """Paths of one component, which a person may type."""
    paths = {resource.canonical for resource in app.router.resources()}
    return sorted(path for path in paths if path.count("/") == 1)


def _unreadable(request: web.Request) -> str:
    """The body contradicts its headers: its chunks are invalid."""
    return f"the body of {request.method} {request.path} cannot be read: it broke off, or is no HTTP"


_MALFORMED = "refused a malformed HTTP request"


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """What aiohttp's server logs: of a request that is no HTTP a line without a traceback, like any other refusal."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))

    def exception(self, msg: object, *args: object, exc_info: Any = True, **options: Any) -> None:
        if isinstance(exc_info, HttpProcessingError):
            warning(_MALFORMED, **_problem(exc_info, *args))
        else:
            super().exception(msg, *args, exc_info=exc_info, **options)

    def debug(self, msg: object, *args: object, **options: Any) -> None:
        """aiohttp calls this for what is most likely not HTTP at all, such as TLS."""
        error = options.get("exc_info")
        if isinstance(error, HttpProcessingError):
            debug(_MALFORMED, **_problem(error, *args))
        else:
            super().debug(msg, *args, **options)


def _problem(error: HttpProcessingError, remote: object = "") -> dict[str, object]:
    return {"client": remote, "reason": error.message.strip().partition("\n")[0][:_SHOWN]}


def _refuse(request: web.Request, status: int, sentence: str, scheme: str | None = None) -> web.Response:
    # what a remote command said may be on several lines, and a part of the request as long as that
    sentence = " ".join(sentence[: 2 * _LONGEST].split())
    sentence = sentence if len(sentence) <= _LONGEST else f"{sentence[:_LONGEST]}..."
    log = log_error if status >= 500 else warning  # noqa: PLR2004 - HTTP's own boundary
    log("request refused", reason=sentence, request=f"{request.method} {request.path[:_SHOWN]}", status=status)
    headers = {"WWW-Authenticate": scheme} if scheme else None
    return web.Response(status=status, text=sentence, headers=headers)
