"""interLink's LogStruct -> LogSlice."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from remote_slurm.domain.pod import Name, first_problem
from remote_slurm.errors import Rejected
from remote_slurm.remote.site import LogSlice

# what Go sends for a time that was not given
_ZERO_TIME = "0001-01-01T00:00:00Z"


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
    Namespace: Name = "default"
    PodUID: Name
    ContainerName: Name
    Opts: _Options = _Options()


def parse_log_request(body: object) -> LogSlice:
    """Raises Rejected for what is not there, and for what is not supported yet."""
    try:
        asked = _LogRequest.model_validate(body)
    except ValidationError as error:
        raise Rejected(f"the body of getLogs cannot be read: {first_problem(error)}") from None
    options = asked.Opts
    _refuse_unsupported(options)
    return LogSlice(
        pod=f"{asked.Namespace}-{asked.PodUID}",
        container=asked.ContainerName,
        lines=options.Tail if options.Tail > 0 else None,
        bytes=options.Bytes if options.Bytes > 0 else None,
        follow=options.Follow,
    )


def _refuse_unsupported(options: _Options) -> None:
    unsupported = {
        "Timestamps": options.Timestamps,
        "Previous": options.Previous,
        "SinceSeconds": options.SinceSeconds > 0,
        "SinceTime": options.SinceTime not in ("", _ZERO_TIME),
    }
    asked = [name for name, is_asked in unsupported.items() if is_asked]
    if asked:
        raise Rejected(f"logs by {' and '.join(asked)} are not supported yet: Tail, Bytes and Follow are")
