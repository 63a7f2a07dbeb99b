"""Keys for the connection to the site, and for polling it."""

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from remote_slurm.config.block import KeyGroup, setting
from remote_slurm.config.scalar_types import seconds
from remote_slurm.config.ssh import SSH


class ConnectionKeys(KeyGroup):
    """How to reach the site."""

    title: ClassVar[str] = "Connection to the site"

    ssh: SSH = Field(
        alias="SSH",
        description="Connection to the site. HostName and User are required, and IdentityFile unless IdentitiesOnly is "
        "false.",
    )


class PollingKeys(KeyGroup):
    """How often to query Slurm, and when to cancel orphans."""

    title: ClassVar[str] = "Polling and orphans"

    poll_interval: Annotated[float, BeforeValidator(seconds(1))] = setting(
        10.0,
        "Seconds between two squeue calls at the site, for any number of pods. Three times that, up to 30 s, while no "
        "pod and no job is left.",
    )
    orphan_grace_period: Annotated[float, BeforeValidator(seconds(0))] = setting(
        900.0,
        "Seconds after which an orphan is cancelled, at least 120. An orphan is a pending or running job whose "
        "pod Kubernetes does not ask for, while it asks for other pods. 0: list orphans in /system-info and "
        "`remote-slurm status`, and cancel none.",
    )
