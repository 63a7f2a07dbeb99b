"""Print the partitions for people, by sinfo without options."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply, ended_with


@dataclass(frozen=True, slots=True)
class SinfoOutput:
    """What sinfo printed. `failure`: its exit code with its last words; empty if it succeeded."""

    text: str
    failure: str = ""


def operation(config: Config) -> Operation[SinfoOutput]:
    """A failure of sinfo is a value: Slurm may hide its partitions from an account that can submit jobs."""
    return Operation("sinfo", _output, {"sinfo": config.sinfo_path}, seconds=20, metric="run")


def _output(reply: Reply) -> SinfoOutput:
    exit_code = reply.require("sinfo")
    text = reply.messages.rstrip("\n")
    failure = "" if exit_code == "0" else f"sinfo failed with {ended_with(exit_code, text)}"
    return SinfoOutput(f"{text}\n" if text else "", failure)
