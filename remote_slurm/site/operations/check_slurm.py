"""Check whether the Slurm commands exist, and whether slurmctld, sinfo and sacct answer."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply, ended_with


@dataclass(frozen=True, slots=True)
class SlurmCheck:
    """The paths that are `absent`, or else what the commands answer.

    `versions` are the lines of `sbatch --version`. `jobs` is how many jobs the account has. `squeue_failed` is what
    squeue printed if it failed, and `sinfo_failed` the exit code and the words of a failed sinfo.
    """

    absent: tuple[str, ...]
    versions: tuple[str, ...] = ()
    jobs: str = ""
    squeue_failed: str | None = None
    sinfo_failed: str | None = None
    has_accounting: bool = False


def command_paths(config: Config) -> dict[str, str]:
    """The configured paths by command."""
    paths = {"sbatch": config.sbatch_path, "scancel": config.scancel_path}
    paths |= {"squeue": config.squeue_path, "sinfo": config.sinfo_path}
    return paths | dict(file_transfer(config).further_commands)


def operation(config: Config) -> Operation[SlurmCheck]:
    """Find the commands, and call each that only asks."""
    values = {"scontrol": "", "srun": ""} | command_paths(config)
    return Operation("check_slurm", _checked, values, seconds=120)


def _checked(reply: Reply) -> SlurmCheck:
    absent = tuple(reply.all("absent"))
    if absent:
        return SlurmCheck(absent)
    squeue_code, _, jobs = reply.require("controller").partition(" ")
    sinfo_code, _, sinfo_words = reply.require("sinfo").partition(" ")
    return SlurmCheck(
        absent=absent,
        versions=tuple(reply.all("version")),
        jobs=jobs,
        squeue_failed=reply.messages if squeue_code != "0" else None,
        sinfo_failed=ended_with(sinfo_code, sinfo_words) if sinfo_code != "0" else None,
        has_accounting=reply.get("sacct") == "yes",
    )
