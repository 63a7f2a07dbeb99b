"""Look up ended jobs in the accounting by sacct."""

from __future__ import annotations

from collections.abc import Iterable

from remote_slurm.config import Config
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.sacct import accounting_commands, parse_accounting
from remote_slurm.errors import Code
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply

# What sacct prints (22.05 and 24.11): its exit code is the same for all failures
_DISABLED = "Slurm accounting storage is disabled"


def operation(config: Config, job_ids: Iterable[str]) -> Operation[list[Job]]:
    """All jobs that ever had these ids. Raises SlurmFailed, with ACCOUNTING_DISABLED if Slurm has no accounting."""
    commands = accounting_commands("sacct", job_ids, comments=file_transfer(config).reports_in_comment)
    values = {
        "sacct": "sacct",
        "with_line": commands.jobs,
        "without_line": commands.jobs_without_line,
        "steps": commands.steps,
    }
    return Operation("accounting", _jobs, values, seconds=110)


def _jobs(reply: Reply) -> list[Job]:
    reply.require_success("accounting", "sacct", code=Code.ACCOUNTING_DISABLED if _DISABLED in reply.messages else None)
    return parse_accounting(reply.messages, "\n".join(reply.all("step")))
