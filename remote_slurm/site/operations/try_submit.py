"""Ask Slurm whether it would accept batch scripts, without submitting them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.site.operation import Operation, lines, yes
from remote_slurm.site.reply import Reply

_SECONDS = 90


@dataclass(frozen=True, slots=True)
class TriedJob:
    """The answer of `sbatch --test-only` for one script: its exit code, and the lines that it printed."""

    exit_code: int
    messages: tuple[str, ...]

    @property
    def is_accepted(self) -> bool:
        return self.exit_code == 0


def operation(
    config: Config, jobs: Iterable[tuple[Flag, ...]], *, until_accepted: bool = False
) -> Operation[list[TriedJob]]:
    """One result per job, in order. Fewer if time runs out, or after the first accepted one with `until_accepted`."""
    scripts = [base64.b64encode(_script(flags).encode()).decode() for flags in jobs]
    values = {"sbatch": config.sbatch_path, "until_accepted": yes(until_accepted), "seconds": str(_SECONDS)}
    return Operation("try_submit", _tried, values, payload=lines(scripts), seconds=_SECONDS + 45)


def _script(flags: tuple[Flag, ...]) -> str:
    return "".join(f"{line}\n" for line in ("#!/bin/sh", *(flag.line() for flag in flags), "exit"))


def _tried(reply: Reply) -> list[TriedJob]:
    reply.require("end")
    messages: dict[str, list[str]] = {}
    for number, _, text in (each.partition(" ") for each in reply.all("message")):
        messages.setdefault(number, []).append(text)
    return [
        TriedJob(int(code), tuple(messages.get(number, ())))
        for number, code in (each.split() for each in reply.all("tried"))
    ]
