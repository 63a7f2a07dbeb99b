"""What `check` reports of one step, and the outcome of a check."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from remote_slurm.errors import SiteError


@dataclass(frozen=True, slots=True)
class Finding:
    """One link. `ok` is None if it was not checked. A remedy beside True is a warning.

    `needs_node`: only a job on a compute node can tell.
    """

    check: str
    ok: bool | None
    message: str
    remedy: str = ""
    needs_node: bool = False


@dataclass(frozen=True, slots=True)
class Holds:
    """The link holds; `remedy` is what could be better. `needs_node`: only a compute node can tell whether it holds."""

    message: str
    remedy: str = ""
    needs_node: bool = False


class Breaks(Exception):
    """The link does not hold."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(message)


Step = Callable[[], Awaitable[Holds]]


async def finding(name: str, step: Step) -> Finding:
    """Run one check."""
    try:
        holds = await step()
    except Breaks as error:
        return Finding(name, ok=False, message=str(error), remedy=error.remedy)
    except SiteError as error:
        return Finding(name, ok=False, message=one_line(error.message), remedy=error.remedy)
    return Finding(name, ok=True, message=holds.message, remedy=holds.remedy, needs_node=holds.needs_node)


def one_line(text: str) -> str:
    """The lines that commands printed, each once."""
    return "; ".join(dict.fromkeys(" ".join(line.split()) for line in text.splitlines() if line.strip()))
