"""What the code under test logs."""

import logging
from dataclasses import dataclass, field
from typing import Any

from remote_slurm.log import fields_of


@dataclass(frozen=True)
class Line:
    level: str
    message: str
    fields: dict[str, Any]
    error: BaseException | None = None


@dataclass
class Logged:
    lines: list[Line] = field(default_factory=list)

    def with_message(self, message: str) -> list[Line]:
        return [line for line in self.lines if line.message == message]


class Recorder(logging.Handler):
    def __init__(self, logged: Logged) -> None:
        super().__init__()
        self._logged = logged

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._logged.lines.append(Line(record.levelname, record.getMessage(), fields_of(record), error))
