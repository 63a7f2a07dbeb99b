"""One line of log per event: what happened, then pod, job and interLink's session id as key=value."""

from __future__ import annotations

import logging
from contextvars import ContextVar

# interLink's correlation id, such as CreatePod#123; the API sets it for the time of a request
session_id: ContextVar[str] = ContextVar("session_id", default="")

_log = logging.getLogger("remote_slurm")


def event(message: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one line; empty fields are left out. Callers pass names and ids, never values of a pod's data."""
    named = {**fields, "session": session_id.get()}
    tail = "".join(f" {key}={_one_word(value)}" for key, value in named.items() if value not in ("", None))
    _log.log(level, "%s%s", _one_line(message), tail)


def warn(message: str, **fields: object) -> None:
    event(message, level=logging.WARNING, **fields)


def detail(message: str, **fields: object) -> None:
    """Seen with VerboseLogging only."""
    event(message, level=logging.DEBUG, **fields)


def configure(*, verbose: bool, errors_only: bool) -> None:
    """Log to standard error, at the level that the configuration names."""
    level = logging.ERROR if errors_only else logging.DEBUG if verbose else logging.INFO
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    _log.handlers[:] = [handler]
    _log.setLevel(level)
    _log.propagate = False


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _one_word(value: object) -> str:
    text = _one_line(str(value))
    return f'"{text}"' if " " in text or not text else text
