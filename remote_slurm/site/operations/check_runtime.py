"""Check whether the container runtime is on the login node."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class RuntimeCheck:
    """The runtime's path and version; the path is empty if the runtime is not there."""

    path: str
    version: str


def operation(runtime: str) -> Operation[RuntimeCheck]:
    """`runtime` is its configured path."""
    return Operation("check_runtime", _checked, {"runtime": runtime})


def _checked(reply: Reply) -> RuntimeCheck:
    if reply.has("absent"):
        return RuntimeCheck("", "")
    return RuntimeCheck(reply.require("found"), reply.get("version"))
