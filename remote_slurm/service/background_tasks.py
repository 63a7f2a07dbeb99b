"""The background tasks of one account. A task that fails is logged with its traceback; a loop is then restarted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from remote_slurm.log import failure

RESTART_SECONDS = 5.0

Work = Callable[[], Coroutine[Any, Any, None]]


class BackgroundTasks:
    """Holds every task until it ends, since asyncio itself keeps no reference to it."""

    def __init__(self, restart_seconds: float = RESTART_SECONDS) -> None:
        self._restart_seconds = restart_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def keep_running(self, name: str, work: Work) -> None:
        """Run a loop until `stop`. If it fails or returns, run it again after a pause."""
        self._hold(asyncio.create_task(self._loop(name, work), name=name))

    def run_once(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task. If it fails, its traceback is logged."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_log_failure)
        self._hold(task)
        return task

    async def stop(self) -> None:
        """Cancel all tasks, and return once they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hold(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _loop(self, name: str, work: Work) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - a defect in one task must not end the others
                failure("background task failed, restarting it", error, task=name, seconds=self._restart_seconds)
            await asyncio.sleep(self._restart_seconds)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        failure("background task failed", error, task=task.get_name())
