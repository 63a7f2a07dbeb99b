"""States of nodes, as sinfo prints them with `%T` (NODE STATE CODES in sinfo(1))."""

from __future__ import annotations

_FLAGS = "*~#!%$@^-+"
_NOT_RESPONDING = "*"
_MAINTENANCE = "$"
# A node that is powered down (`~`) or up (`#`) is one too: Slurm starts it for a job
_USABLE = frozenset({"allocated", "completing", "idle", "mixed", "planned", "powered_down", "powering_up"})


def obstacle(state: str) -> str:
    """Why Slurm starts no job on nodes in this state, such as `drained`; empty if it does."""
    word = state.strip().lower()
    name = word.rstrip(_FLAGS)
    if name not in _USABLE:
        return name
    flags = word.removeprefix(name)
    if _NOT_RESPONDING in flags:
        return "not responding"
    return "maint" if _MAINTENANCE in flags else ""
