"""The audit log: client, request, pod and outcome of each request, as JSON lines in a file or stream of their own.

Lines are written by a thread. A full disk stops no request: lines wait for room, as many as MAX_WAITING, and further
ones are counted as lost, in this log, in the ordinary one and in the metrics.
"""

from __future__ import annotations

import errno
import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from remote_slurm.config.audit import STREAMS
from remote_slurm.domain.pod.folder_name import split_key
from remote_slurm.errors import RemoteSlurmError
from remote_slurm.log import info, one_line, session_id, warning

MAX_WAITING = 10_000
MAX_WAITING_BYTES = 16 << 20
RETRY_SECONDS = 1.0
_LONGEST = 500
_MOST_ITEMS = 20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_PASSWORD = re.compile(r"(//[^/@:\s]*):[^/@\s]*@")
_WRITABLE_BY_OTHERS = 0o022


class CannotAudit(RemoteSlurmError):
    """AuditLog cannot be written."""


class Notes(dict[str, object]):
    """What is known of the request that is being answered, for its line; `answered` writes the line."""

    answered: Callable[[], None] | None = None


# The middleware sets it for each request, and tasks that a request starts inherit it
notes: ContextVar[Notes | None] = ContextVar("notes", default=None)


def note(**fields: object) -> None:
    """Add fields to the line of the request that is being answered; nothing if there is no request."""
    current = notes.get()
    if current is not None:
        current.update(fields)


def pod_fields(key: str, full_name: str = "") -> dict[str, str]:
    """Return the namespace, name and UID of the pod whose folder has the name `key`."""
    namespace, uid = split_key(key) or ("", "")
    name = full_name.partition("/")[2]
    return {"namespace": namespace, "name": name, "uid": uid} if name else {"namespace": namespace, "uid": uid}


def masked(text: str) -> str:
    """Without the password of an address such as docker://user:password@registry.example.org/image."""
    return _PASSWORD.sub(r"\1:***@", text)


class AuditLog:
    """The log at `place`, or none. `written` and `lost` count lines; `failing` is whether the last write failed."""

    def __init__(
        self, place: Path | None = None, *, max_waiting: int = MAX_WAITING, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        """Raises CannotAudit if the file cannot be opened, unless the disk is full."""
        self.place = place
        self._max_waiting = max_waiting
        self._retry_seconds = retry_seconds
        self.written = self.lost = 0
        self.failing = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._offset = 0  # what of the first waiting line is written already
        self._reported = 0  # how many of the lost lines are reported in this log
        self._closing = False
        self._is_stale = False  # whether the file is to be opened anew
        self._changed = threading.Condition()
        self._fd = -1
        self._thread: threading.Thread | None = None
        if place is None:
            return
        try:
            self._open(place)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise CannotAudit(f"AuditLog {place} cannot be opened: {error.strerror}") from error
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def write(self, verb: str, outcome: str, fields: Mapping[str, object] | None = None, **more: object) -> None:
        """Add a line; empty fields are left out. Never waits and never fails."""
        if self._thread is None:
            return
        line = {"time": _now(), "verb": verb, "outcome": outcome, **(fields or {}), **more}
        line.setdefault("session", session_id.get())
        if isinstance(line.get("reason"), str):
            line["reason"] = masked(one_line(str(line["reason"])))[:_LONGEST]
        self._add(line)

    def reopen(self) -> None:
        """Open the file anew, as after a rotation; the file is also opened anew if it was renamed or removed."""
        self._is_stale = True

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, for at most so long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)
            if self._waiting:
                warning(
                    "audit lines were lost at shutdown, since the audit log could not be written",
                    lost=len(self._waiting),
                )

    def _add(self, line: Mapping[str, object]) -> None:
        filled = {key: _short(value) for key, value in line.items() if value not in ("", None, [], {})}
        data = json.dumps(filled).encode() + b"\n"
        with self._changed:
            if len(self._waiting) < self._max_waiting and self._waiting_bytes + len(data) <= MAX_WAITING_BYTES:
                self._waiting.append(data)
                self._waiting_bytes += len(data)
            else:
                self.lost += 1
            self._changed.notify()

    # --- in the thread: no lock is held during what a slow disk may delay ---

    def _run(self) -> None:
        while self._await():
            try:
                self._ensure_open()
                data = self._waiting[0][self._offset :]
                written = os.write(self._fd, data)
            except OSError as error:
                self._failed(error)
            else:
                self._wrote(written, len(data))

    def _await(self) -> bool:
        """Return once there is a line to be written; false at the end."""
        with self._changed:
            if self.failing and not self._closing:
                self._changed.wait(self._retry_seconds)
            while not self._waiting and not self._closing:
                self._changed.wait()
            return bool(self._waiting) and not (self._closing and self.failing)

    def _wrote(self, count: int, length: int) -> None:
        self._offset += count
        if count == length:
            with self._changed:
                self._waiting_bytes -= len(self._waiting.popleft())
            self._offset = 0
            self.written += 1
        if self.failing:
            self.failing = False
            lost, self._reported = self.lost - self._reported, self.lost
            info("the audit log can be written again", lost=lost)
            if lost:
                self._add({"time": _now(), "verb": "audit", "outcome": "lost", "lost": lost})

    def _failed(self, error: OSError) -> None:
        if not self.failing:
            warning(
                "cannot write the audit log, keeping a limited number of lines in memory",
                path=self.place,
                reason=error.strerror,
                waiting=self._max_waiting,
            )
        self.failing = True

    def _ensure_open(self) -> None:
        """Open the file if it is not open, or if its name leads to another file by now."""
        if self.place is None or str(self.place) in STREAMS:
            return
        if self._fd >= 0 and not self._is_stale and _same_file(self._fd, self.place):
            return
        self._is_stale = False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._offset = 0
        self._open(self.place)

    def _open(self, place: Path) -> None:
        if str(place) in STREAMS:
            self._fd = STREAMS.index(str(place)) + 1
            return
        self._fd = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._fd).st_mode & _WRITABLE_BY_OTHERS:
            warning("AuditLog is writable for other accounts: correct it with chmod go-w", path=place)


def _short(value: object) -> object:
    """Shorten values, since clients may send megabytes."""
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, Mapping):
        return {str(key)[:_LONGEST]: _short(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        more = [f"and {len(value) - _MOST_ITEMS} more"] if len(value) > _MOST_ITEMS else []
        return [*(_short(each) for each in value[:_MOST_ITEMS]), *more]
    return value


def _same_file(fd: int, place: Path) -> bool:
    try:
        there = place.stat()
    except OSError:
        return False
    here = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
