"""What `check` reports of one step, and the outcome of a check."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from remote_slurm.errors import SiteError


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `ok` is None if it was not checked. A remedy beside True is a warning.

    `needs_node`: only a job on a compute node can tell.
    """

    check: str
    ok: bool | None
    message: str
    remedy: str = ""
    needs_node: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """`remedy` is what could be better. `needs_node`: only a compute node can tell whether all is well."""

    message: str
    remedy: str = ""
    needs_node: bool = False


class CheckFailed(Exception):
    """The check has failed, for the reason in the message."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(message)


Step = Callable[[], Awaitable[Passed]]


async def run_check(name: str, step: Step) -> Finding:
    """Run one check."""
    try:
        passed = await step()
    except CheckFailed as error:
        return Finding(name, ok=False, message=str(error), remedy=error.remedy)
    except SiteError as error:
        return Finding(name, ok=False, message=one_line(error.message), remedy=error.remedy)
    return Finding(name, ok=True, message=passed.message, remedy=passed.remedy, needs_node=passed.needs_node)


def one_line(text: str) -> str:
    """The lines that commands printed, each once."""
    return "; ".join(dict.fromkeys(" ".join(line.split()) for line in text.splitlines() if line.strip()))
