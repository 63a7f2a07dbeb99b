"""Bodies of requests: read and parsed with a limited amount of memory and time, large ones beside the event loop.

A byte of JSON can cost a hundred bytes of memory (`{},{},...`), so that what counts is how many values there are. They
are counted before the body is parsed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

from aiohttp import web

from remote_slurm.api.limits import Limits
from remote_slurm.errors import InvalidRequest
from remote_slurm.ssh.threads import in_thread

_T = TypeVar("_T")

# Values, keys and separators of a body: a pod with 500 variables has 5,000; up to interLink 0.4 a status lists all pods
CREATE_VALUES = 100_000
STATUS_VALUES = 1_500_000
# A body of this size costs milliseconds, whatever is in it, and is parsed in the event loop
SMALL_BYTES = 32 * 1024
# A larger one needs room, of which there is this much for all of them together, in bodies of MaxRequestSize
FREE_BYTES = 128 * 1024
_ROOM = 2

# A string, also one without an end: so that each character is read once
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z|\\\Z)', re.DOTALL)
_MARKS = (b",", b"[", b"{", b":")


class Bodies:
    """Reads the bodies of one application's requests; `largest` is MaxRequestSize."""

    def __init__(self, largest: int, limits: Limits) -> None:
        self._largest = largest
        self._limits = limits
        self._free = _ROOM * largest
        self._freed = asyncio.Condition()
        self._parsing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def json(self, request: web.Request, most_values: int = CREATE_VALUES) -> AsyncIterator[tuple[Any, int]]:
        """The JSON of a request, GET's too, and its size; the context holds the room that it takes.

        Raises InvalidRequest where it is none, and HTTPException where it is too large, or there is no room for it.
        """
        async with self._room(request):
            raw = await self._read(request)
            if len(raw) <= SMALL_BYTES:
                body = _parsed(request, raw)
            else:
                async with self._parsing:
                    body = await in_thread("parse a request", _parsed_within, request, raw, most_values)
            yield body, len(raw)

    async def _read(self, request: web.Request) -> bytes:
        size = self._size(request)
        try:
            async with asyncio.timeout(self._limits.body_seconds + size / self._limits.body_bytes_per_second):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(reason="the body of the request did not come in time") from None

    @contextlib.asynccontextmanager
    async def _room(self, request: web.Request) -> AsyncIterator[None]:
        size = self._size(request)
        if size > self._largest:
            raise web.HTTPRequestEntityTooLarge(max_size=self._largest, actual_size=size)
        if size <= FREE_BYTES:
            yield
            return
        await self._take(size)
        try:
            yield
        finally:
            async with self._freed:
                self._free += size
                self._freed.notify_all()

    async def _take(self, size: int) -> None:
        try:
            async with asyncio.timeout(self._limits.memory_seconds), self._freed:
                await self._freed.wait_for(lambda: self._free >= size)
                self._free -= size
        except TimeoutError:
            raise web.HTTPServiceUnavailable(
                reason="too many large requests are being answered: ask again, or raise MaxRequestSize"
            ) from None

    def _size(self, request: web.Request) -> int:
        """The size in the headers; for a chunked body, whose size is unknown before its end, the limit."""
        if request.content_length is not None:
            return request.content_length
        return self._largest if request.body_exists else 0


async def parsed(request: web.Request, size: int, parse: Callable[..., _T], *args: Any) -> _T:
    """What `parse` makes of a body of this size, beside the event loop if it is large. Raises what `parse` raises."""
    try:
        if size <= SMALL_BYTES:
            return parse(*args)
        return await in_thread("read a request", parse, *args)
    except RecursionError:
        raise InvalidRequest(f"the body of {request.method} {request.path} is nested too deeply") from None


def count_values(raw: bytes, limit: int) -> int:
    """How many values, keys and separators are in the JSON; counting ends a little beyond `limit`."""
    # a cheap bound first: most bodies hold so few of these signs, strings included, that nothing need be counted
    if sum(raw.count(mark) for mark in _MARKS) <= limit // 2:
        return 0
    count = at = 0
    for string in _STRING.finditer(raw):
        count += 1 + sum(raw.count(mark, at, string.start()) for mark in _MARKS)
        at = string.end()
        if count > limit:
            return count
    return count + sum(raw.count(mark, at) for mark in _MARKS)


def _parsed_within(request: web.Request, raw: bytes, most_values: int) -> Any:
    if count_values(raw, most_values) > most_values:
        raise InvalidRequest(f"the body of {request.method} {request.path} has more than {most_values} values")
    return _parsed(request, raw)


def _parsed(request: web.Request, raw: bytes) -> Any:
    try:
        text = raw.decode()
        body = json.loads(text, parse_constant=_refuse_constant)
        if b"\\u" in raw:  # half a surrogate pair is JSON, and no text; there is no other way to write one
            for each in _texts(body):
                each.encode()
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body of {request.method} {request.path} is not JSON: {_shortly(error)}") from error
    return body


def _texts(body: Any) -> Iterator[str]:
    """All strings of a body, one by one, so that the event loop goes on between them."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _refuse_constant(name: str) -> None:
    """Python reads these, and no other program: RFC 8259 has no such numbers."""
    raise _NoNumberError(f"JSON has no number {name}")


class _NoNumberError(ValueError):
    """A value in the place of a number is not one."""


def _shortly(error: Exception) -> str:
    """Without the text that is wrong: it may hold a Secret."""
    if isinstance(error, json.JSONDecodeError) and not error.doc:
        return "it is empty"
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, _NoNumberError):
        return str(error)
    return "it is not UTF-8" if isinstance(error, UnicodeError) else "a number in it has too many digits"
