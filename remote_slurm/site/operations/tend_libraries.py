"""Look after the scripts that pods share: keep those that are needed from purges, and remove the others."""

from __future__ import annotations

from collections.abc import Iterable

from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


def operation(kept: Iterable[str]) -> Operation[None]:
    """`kept` are libraries that no pod may need now, and that the sidecar counts on."""
    return Operation("tend_libraries", _tended, {"kept": " ".join(sorted(kept))}, seconds=120)


def _tended(reply: Reply) -> None:
    reply.require("tended")
