"""Tsocks: the folder with libtsocks.so and its configuration, which job/tsocks.sh creates on the node."""

from __future__ import annotations

from remote_slurm.config import TsocksConfig
from remote_slurm.domain.plan.mounts import Mount
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.shell import Call

_IN_CONTAINER = "/.tsocks"


def tsocks_mounts(config: TsocksConfig) -> tuple[Mount, ...]:
    return (Mount("tsocks", _IN_CONTAINER, read_only=True),) if config.enabled else ()


def tsocks_calls(runtime: Runtime, config: TsocksConfig) -> tuple[Call, ...]:
    """Return the runner's call. Commands on the node use the folder where it is."""
    if not config.enabled:
        return ()
    return (("tsocks", config.login_node, config.path, *([_IN_CONTAINER] if runtime.starts_containers else [])),)
