"""Read the partitions and the settings of Slurm, by scontrol."""

from __future__ import annotations

from remote_slurm.config import Config
from remote_slurm.domain.slurm.scontrol import SlurmSettings, parse_settings
from remote_slurm.errors import SlurmFailed
from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply, ended_with


def operation(config: Config) -> Operation[SlurmSettings]:
    """Raises SlurmFailed if scontrol shows neither partitions nor settings."""
    return Operation("slurm_settings", _settings, {"scontrol": config.scontrol_path}, seconds=90)


def _settings(reply: Reply) -> SlurmSettings:
    codes = reply.require("settings").split()
    if "0" not in codes:
        raise SlurmFailed(f"scontrol failed with {ended_with(codes[0], reply.messages)}", command="scontrol")
    return parse_settings(reply.all("partition"), reply.all("setting"))
