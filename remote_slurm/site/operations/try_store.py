"""Try whether DataRootFolder has room for a pod."""

from __future__ import annotations

from remote_slurm.errors import Code, RemoteFailed
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


def operation() -> Operation[None]:
    """Write as much as a pod needs, and remove it."""
    return Operation("try_store", _tried, seconds=60)


def _tried(reply: Reply) -> None:
    reply.require("tried")
    if not reply.has("stored"):
        words = "; ".join(line.strip() for line in reply.others if line.strip()) or "a file could not be written whole"
        raise RemoteFailed(
            f"DataRootFolder {reply.root} cannot be written: {words}",
            code=Code.NO_SPACE if reply.is_out_of_space else None,
        )
