"""Measure the round trip: a script that does nothing."""

from __future__ import annotations

from remote_slurm.site.operation import Operation


def operation() -> Operation[str]:
    """The empty text."""
    return Operation("check_round_trip", lambda reply: reply.require("done"))
