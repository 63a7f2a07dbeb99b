"""The timers of two sidecars with one DataRootFolder, as in every rolling update: the newer one owns it, both serve.

The older sidecar submits and deletes pods as before, and leaves a note at the site. The owner then reads all pods
again. Only the owner withdraws attempts, moves records and cancels orphans.

The owner writes a new heartbeat with each poll. Only its changes count, by the clock of this process: the clocks of
the site, its file server and this machine may differ by minutes.
"""

from __future__ import annotations

from collections.abc import Callable

# A file server's cache may show an old heartbeat for as long (NFS: acregmax, 60 s)
SILENCE_SECONDS = 60.0
# How often an older sidecar polls if Kubernetes does not ask it
WATCH_SECONDS = 20.0
_SILENT_POLLS = 3
# An older sidecar that was killed may have left a script running at the site for as long
LATE_SECONDS = 120.0


class OwnerWatch:
    """Whether the owner is alive; `silence` is for how long its heartbeat has not changed, in seconds."""

    def __init__(self, poll_interval: float, clock: Callable[[], float]) -> None:
        self.silence = 0.0
        self._most = max(SILENCE_SECONDS, _SILENT_POLLS * max(poll_interval, WATCH_SECONDS))
        self._clock = clock
        self._heartbeat = ""
        self._since = clock()

    def saw(self, heartbeat: str) -> None:
        """Take the heartbeat that was just read; empty if it could not be read."""
        if not heartbeat or heartbeat != self._heartbeat:
            self._heartbeat, self._since = heartbeat, self._clock()
        self.silence = self._clock() - self._since

    @property
    def is_silent(self) -> bool:
        return self.silence > self._most


class OlderWatch:
    """When to read all pods again because of an older sidecar: after each of its notes, and once later.

    The later survey finds the changes of an older sidecar that was killed before its last note.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._late: float | None = None

    def note(self) -> None:
        """An older sidecar has left a note."""
        self._late = self._clock() + LATE_SECONDS

    @property
    def is_late(self) -> bool:
        """Whether the later survey is due."""
        return self._late is not None and self._clock() >= self._late

    def done(self) -> None:
        """The later survey has succeeded."""
        self._late = None
