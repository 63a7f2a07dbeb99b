"""One line of log per event: what happened, and its fields, such as pod, job and interLink's session id.

As text for people, with the fields as key=value; as JSON for machines, with the same fields as keys.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

# interLink's correlation id, such as CreatePod#123; the API sets it for the time of a request
session_id: ContextVar[str] = ContextVar("session_id", default="")

_log = logging.getLogger("remote_slurm")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# What a value without quotation marks around it cannot hold: another field could be read out of it
_APART = re.compile(r'[ "=\\]')
_FIELDS = "fields"
# They log malformed requests and lost descriptors, which would reach standard error in a form of their own
_LIBRARIES = ("aiohttp", "asyncio")
_TIME = "%Y-%m-%dT%H:%M:%S%z"


def info(message: str, **fields: object) -> None:
    """Write one line; empty fields are left out. Callers pass names and ids, never values of a pod's data."""
    _write(logging.INFO, message, fields)


def warning(message: str, **fields: object) -> None:
    _write(logging.WARNING, message, fields)


def error(message: str, **fields: object) -> None:
    _write(logging.ERROR, message, fields)


def failure(message: str, unexpected: BaseException, **fields: object) -> None:
    """An error that no code expected, with its traceback."""
    fields = {**fields, "error": f"{type(unexpected).__name__}: {unexpected}"}
    _write(logging.ERROR, message, fields, unexpected)


def debug(message: str, **fields: object) -> None:
    """Seen with VerboseLogging only."""
    _write(logging.DEBUG, message, fields)


def _write(level: int, message: str, fields: Mapping[str, object], unexpected: BaseException | None = None) -> None:
    named = {**fields, "session": session_id.get()}
    filled = {key: value for key, value in named.items() if value not in ("", None)}
    _log.log(level, "%s", one_line(message), extra={_FIELDS: filled}, exc_info=unexpected)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A warning or an error: when (time.time()), its sentence, and its fields."""

    time: float
    level: str
    message: str
    fields: Mapping[str, object]


class Recent(logging.Handler):
    """Remembers the latest warnings and errors, newest first; one that is said again is remembered once."""

    def __init__(self, most: int = 50) -> None:
        super().__init__(logging.WARNING)
        self._most = most
        self.troubles: tuple[Trouble, ...] = ()

    def emit(self, record: logging.LogRecord) -> None:
        fields = {key: _plain(value) for key, value in fields_of(record).items()}
        new = Trouble(record.created, record.levelname, one_line(record.getMessage()), fields)
        others = [each for each in self.troubles if (each.message, each.fields) != (new.message, new.fields)]
        self.troubles = (new, *others[: self._most - 1])


def configure(*, verbose: bool, errors_only: bool, as_json: bool = False, recent: Recent | None = None) -> None:
    """Log to standard error, at the level and in the form that the configuration names; `recent` listens, too."""
    level = logging.ERROR if errors_only else logging.DEBUG if verbose else logging.INFO
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if as_json else _Text())
    handler.setLevel(level)
    _log.handlers[:] = [handler, *([recent] if recent else [])]
    _log.setLevel(min(level, logging.WARNING) if recent else level)
    _log.propagate = False
    for library in _LIBRARIES:
        listen_to(library)
        # also with VerboseLogging only their warnings matter
        logging.getLogger(library).setLevel(max(_log.level, logging.WARNING))


def listen_to(library: str) -> None:
    """Write what a library logs among our own lines, at the same level."""
    log = logging.getLogger(library)
    log.handlers[:] = _log.handlers
    log.setLevel(_log.level)
    log.propagate = False


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The fields of a line of `info` and the like; none of a library's."""
    fields: dict[str, object] = getattr(record, _FIELDS, {})
    return fields


def one_line(text: str) -> str:
    """Without line breaks, and without signs that a terminal would obey: much of it comes from the site."""
    return _CONTROL.sub("?", " ".join(text.split()))


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", _TIME)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        tail = "".join(f" {key}={_one_word(value)}" for key, value in fields_of(record).items())
        return super().formatMessage(record) + tail


class _Json(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(datefmt=_TIME)

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record, _TIME),
            "level": record.levelname,
            "message": one_line(record.getMessage()),
        }
        line |= {key: _plain(value) for key, value in fields_of(record).items()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | bool) else one_line(str(value))


def _one_word(value: object) -> str:
    text = one_line(str(value))
    if text and not _APART.search(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
