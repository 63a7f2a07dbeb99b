"""One thread that writes to an SSH connection, for all channels on it.

Whatever is sent over a connection waits for the same socket, so that a thread for each channel would send nothing
sooner. With this one and Paramiko's reader, a connection has two threads, however many channels it has.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")


class WriterThread:
    """Runs calls in their order. Each of them may block until the connection is closed."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[..., _T], *args: Any) -> _T:
        """Return what `function(*args)` returns. A caller that is cancelled does not stop the call."""
        future: asyncio.Future[_T] = self._loop.create_future()
        self._calls.put(partial(self._call, future, function, args))
        return await future

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Run `function(*args)` after the calls before it, without waiting. Its errors are dropped."""
        self._calls.put(partial(_ignoring_errors, function, args))

    def stop(self) -> None:
        """End the thread after the calls that are waiting."""
        self._calls.put(None)

    def _run(self) -> None:
        while call := self._calls.get():
            call()

    def _call(self, future: asyncio.Future[_T], function: Callable[..., _T], args: tuple[Any, ...]) -> None:
        try:
            outcome = partial(_succeed, future, function(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the caller
            outcome = partial(_fail, future, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits any more
            self._loop.call_soon_threadsafe(outcome)


def _ignoring_errors(function: Callable[..., object], args: tuple[Any, ...]) -> None:
    with contextlib.suppress(Exception):  # the channel or its connection is closed already
        function(*args)


def _succeed(future: asyncio.Future[_T], result: _T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[_T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
