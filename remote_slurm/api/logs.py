"""interLink's LogStruct -> LogSlice."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from remote_slurm.domain.pod.folder_name import join_key
from remote_slurm.domain.pod.model import Component, Namespace, first_problem
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.errors import InvalidRequest

# what Go sends for a time that was not given
_ZERO_TIME = "0001-01-01T00:00:00Z"
# Of lines, bytes and seconds: more than a log has, and no more than any shell and its `tail` can count
_MOST = 2**53


class _Go(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class _Options(_Go):
    Tail: int = 0
    Bytes: int = 0
    Timestamps: bool = False
    Follow: bool = False
    Previous: bool = False
    SinceSeconds: int = 0
    SinceTime: str = _ZERO_TIME


class _LogRequest(_Go):
    Namespace: Namespace = "default"
    PodUID: Component
    ContainerName: Component
    Opts: _Options = _Options()

    @model_validator(mode="after")
    def _names_no_other_pod(self) -> Self:
        join_key(self.Namespace, self.PodUID)
        return self


def parse_log_request(body: object) -> LogSlice:
    """Raises InvalidRequest with a sentence that names the field."""
    try:
        parsed_request = _LogRequest.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(f"the body of getLogs cannot be read: {first_problem(error)}") from None
    options = parsed_request.Opts
    return LogSlice(
        pod=join_key(parsed_request.Namespace, parsed_request.PodUID),
        container=parsed_request.ContainerName,
        lines=min(options.Tail, _MOST) if options.Tail > 0 else None,
        limit_bytes=min(options.Bytes, _MOST) if options.Bytes > 0 else None,
        since=_since(options),
        timestamps=options.Timestamps,
        previous=options.Previous,
        follow=options.Follow and not options.Previous,
    )


def _since(options: _Options) -> float | None:
    """SinceSeconds before now, or SinceTime."""
    if options.SinceSeconds > 0:
        return max(0.0, time.time() - min(options.SinceSeconds, _MOST))
    if options.SinceTime in ("", _ZERO_TIME):
        return None
    try:
        moment = datetime.fromisoformat(options.SinceTime)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest("SinceTime of getLogs must be a time with a zone, such as 2026-07-14T09:46:00Z")
    return max(0.0, moment.timestamp())
