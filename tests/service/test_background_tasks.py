"""Background tasks: none ends without a line in the log, and a loop that fails runs again."""

import asyncio

from remote_slurm.service.background_tasks import BackgroundTasks
from tests.service.logged import Logged


class Broken(Exception):
    pass


async def test_a_loop_that_fails_is_logged_with_its_traceback_and_restarted(logged: Logged) -> None:
    tasks, runs, again = BackgroundTasks(restart_seconds=0), [0], asyncio.Event()

    async def work() -> None:
        runs[0] += 1
        if runs[0] == 1:
            raise Broken("no such key")
        again.set()
        await asyncio.Event().wait()

    tasks.keep_running("poller", work)
    await again.wait()
    await tasks.stop()
    (line,) = logged.lines
    assert (line.level, line.message) == ("ERROR", "background task failed, restarting it")
    assert line.fields == {"task": "poller", "seconds": 0, "error": "Broken: no such key"}
    assert line.error is not None
    assert line.error.__traceback__ is not None


async def test_a_task_that_fails_is_logged_with_its_traceback(logged: Logged) -> None:
    async def work() -> None:
        raise Broken("no such key")

    await asyncio.wait([BackgroundTasks().run_once("submit ns-1", work())])
    await asyncio.sleep(0)
    (line,) = logged.with_message("background task failed")
    assert line.fields["task"] == "submit ns-1"
    assert isinstance(line.error, Broken)


async def test_a_task_that_ends_or_is_stopped_is_not_logged(logged: Logged) -> None:
    tasks, ended = BackgroundTasks(), asyncio.Event()

    async def end() -> None:
        ended.set()

    async def wait() -> None:
        await asyncio.Event().wait()

    tasks.run_once("short", end())
    tasks.run_once("long", wait())
    tasks.keep_running("loop", wait)
    await ended.wait()
    await tasks.stop()
    assert not logged.lines
