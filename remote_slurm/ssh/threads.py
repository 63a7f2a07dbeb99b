"""Blocking calls beside asyncio: a named thread for each, never asyncio's default executor.

Paramiko's calls may block until the transport is closed. A thread for each call delays no other call, ends with the
call, and, as a daemon thread, does not delay the end of the process. There are at most as many as SSH sessions.
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
    threading.Thread(target=settle, args=(loop, future, partial(function, *args)), name=name, daemon=True).start()
    return await future


def settle(loop: asyncio.AbstractEventLoop, future: asyncio.Future[_T], work: Callable[[], _T]) -> None:
    """Call `work` in this thread, and give its result or its error to the loop that waits for it."""
    try:
        outcome = partial(_succeed, future, work())
    except StopIteration as error:  # a future refuses it, and its caller would wait for ever
        outcome = partial(_fail, future, RuntimeError(f"a call in a thread raised {error!r}"))
    except BaseException as error:  # noqa: BLE001 - the waiting caller gets any error
        outcome = partial(_fail, future, error)
    with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits any more
        loop.call_soon_threadsafe(outcome)


def detach(name: str, function: Callable[..., object], *args: Any) -> None:
    """Run `function(*args)` in a thread without waiting for it, such as closing a connection that may be frozen."""

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
