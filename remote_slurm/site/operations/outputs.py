"""Look up the output files of queued jobs."""

from __future__ import annotations

from collections.abc import Iterable

from remote_slurm.config import Config
from remote_slurm.domain.slurm.squeue import outputs_command, parse_outputs
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


def operation(config: Config, job_ids: Iterable[str]) -> Operation[dict[str, str]]:
    """The path of the output file by job id."""
    return Operation("outputs", _outputs, {"squeue": outputs_command(config.squeue_path, job_ids)}, seconds=45)


def _outputs(reply: Reply) -> dict[str, str]:
    reply.require("outputs")
    return parse_outputs(reply.messages)
