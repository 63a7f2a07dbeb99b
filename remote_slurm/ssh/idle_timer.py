"""Ends an SSH connection that has not been used for a while."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from remote_slurm.ssh.connection import Connection

IDLE_SECONDS = 60.0


class IdleTimer:
    """Disconnects once nothing was open or being opened for some seconds. Lives in one event loop."""

    def __init__(self, connection: Connection, seconds: float, has_streams: Callable[[], bool]) -> None:
        self._connection = connection
        self._seconds = seconds
        self._has_streams = has_streams
        self.opening = 0
        self._timer: asyncio.TimerHandle | None = None
        self._disconnecting: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Something is being opened."""
        self.opening += 1
        self.stop()
        try:
            yield
        finally:
            self.opening -= 1
            self.rest()

    def rest(self) -> None:
        """Something has ended: start to count, if it was the last."""
        if not (self.opening or self._has_streams() or self._timer):
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._disconnect)

    def stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _disconnect(self) -> None:
        self._timer = None
        self._disconnecting = asyncio.create_task(self._connection.disconnect(), name="ssh-idle")
