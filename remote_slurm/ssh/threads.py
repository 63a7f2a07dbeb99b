"""Blocking calls beside asyncio: a named thread for each, never asyncio's default executor.

Paramiko's calls may block until the transport is closed. A thread of its own delays nobody else, is gone when its call
is, and as a daemon does not hold up the end of the process. There are no more of them than there are SSH sessions.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")


async def in_thread(name: str, function: Callable[..., _T], *args: Any) -> _T:
    """Wait for `function(*args)`, which runs in a thread of that name.

    Whoever stops waiting does not stop the call: its result is dropped, so close from outside what it holds.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def work() -> None:
        try:
            outcome = partial(_succeed, future, function(*args))
        except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the one who waits
            outcome = partial(_fail, future, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(outcome)

    threading.Thread(target=work, name=name, daemon=True).start()
    return await future


def detach(name: str, function: Callable[..., object], *args: Any) -> None:
    """Run `function(*args)` in a thread that nobody waits for, such as closing what may be frozen."""

    def work() -> None:
        with contextlib.suppress(Exception):  # it was closed already, or its connection is dead: both are wanted
            function(*args)

    threading.Thread(target=work, name=name, daemon=True).start()


def _succeed(future: asyncio.Future[_T], result: _T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[_T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
