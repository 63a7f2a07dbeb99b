"""Fetch the logs and records of an ended pod from its node (SHARED_FS: false)."""

from __future__ import annotations

import secrets

from remote_slurm.config import Config
from remote_slurm.domain.shell import quote
from remote_slurm.domain.slurm.srun import step_command
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


def operation(config: Config, pod: str, node: NodeFolder) -> Operation[bool]:
    """False if the pod has no folder: it is being deleted, or this login node does not see it yet."""
    values = {
        "pod": pod,
        "incoming": f".remote-slurm/incoming/{pod}.fetch.{secrets.token_hex(6)}",
        "step": step_command(config.srun_path, node.job_id),
        "quoted_at": quote(f"{node.folder}/{pod}"),
    }
    return Operation("fetch", _is_fetched, values, seconds=700)


def _is_fetched(reply: Reply) -> bool:
    if reply.has("nofolder"):
        return False
    reply.require("fetched")
    return True
