"""The fields for the life of a container: probes, hooks, and restart rules.

The shapes and defaults are those of v1.Probe, v1.LifecycleHandler and v1.ContainerRestartRule (Kubernetes API
reference, 1.35).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from remote_slurm.domain.pod.json_model import Integer, JsonModel

# Kubernetes' int32, which shells can add to
LARGEST = 2**31 - 1
Seconds = Annotated[Integer, Field(ge=0, le=LARGEST)]
Count = Annotated[Integer, Field(ge=1, le=LARGEST)]
ExitCode = Annotated[Integer, Field(ge=0, le=255)]
PortNumber = Annotated[Integer, Field(ge=1, le=65535)]


class Exec(JsonModel):
    command: tuple[str, ...] = ()


class HttpHeader(JsonModel):
    name: str
    value: str = ""


class HttpGet(JsonModel):
    port: PortNumber | str
    host: str = ""
    path: str = ""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpSocket(JsonModel):
    port: PortNumber | str
    host: str = ""


class Grpc(JsonModel):
    port: PortNumber
    service: str = ""


class Sleep(JsonModel):
    seconds: Seconds


class Handler(JsonModel):
    """What a probe or a hook does: exactly one of these is set."""

    exec: Exec | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: Grpc | None = None
    sleep: Sleep | None = None


class Probe(Handler):
    initial_delay_seconds: Seconds = 0
    period_seconds: Count = 10
    timeout_seconds: Count = 1
    success_threshold: Count = 1
    failure_threshold: Count = 3
    termination_grace_period_seconds: Count | None = None


class Lifecycle(JsonModel):
    post_start: Handler | None = None
    pre_stop: Handler | None = None
    stop_signal: Annotated[str, Field(pattern="^(SIG[A-Z0-9+-]+)?$")] = ""


class ExitCodes(JsonModel):
    operator: Literal["In", "NotIn"] = "In"
    values: tuple[ExitCode, ...] = ()


class RestartRule(JsonModel):
    """Of a container with a restartPolicy of its own: `action` is Restart, or RestartAllContainers."""

    action: str = "Restart"
    exit_codes: ExitCodes | None = None
