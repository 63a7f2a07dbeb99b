"""Read the site's clock."""

from __future__ import annotations

from remote_slurm.site.operation import Operation


def operation() -> Operation[str]:
    """What `date` prints: the time in seconds, with a fraction if `date` knows one."""
    return Operation("check_clock", lambda reply: reply.require("clock"))
