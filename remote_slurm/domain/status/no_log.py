"""Why there is no log of a container: the code that log.sh replies, and the sentence that a person reads."""

from __future__ import annotations

from enum import StrEnum


class NoLogReason(StrEnum):
    """The replies of site/operations/log.sh."""

    WAITING = "waiting"  # the container has not started
    NO_PREVIOUS_RUN = "noprevious"  # it has no run before this one
    NO_FOLDER = "nofolder"  # the pod has no folder
    STAYED_ON_NODE = "stayed"  # with SHARED_FS: false, the job ended before its logs were copied


# What the login node replies about a log that may still be on a node
MAY_BE_ON_NODE = (NoLogReason.WAITING, NoLogReason.NO_PREVIOUS_RUN)
# A log that was read before does not come back after these
FINAL = (NoLogReason.NO_FOLDER, NoLogReason.NO_PREVIOUS_RUN, NoLogReason.STAYED_ON_NODE)


def no_log_message(reason: NoLogReason, container: str, *, ended: str = "", waiting: str = "") -> str:
    """`ended`: why the pod has no run that could log. `waiting`: what the container waits for."""
    name = f"container '{container}'"
    if reason is NoLogReason.NO_PREVIOUS_RUN:
        return f"{name} has not run before: there is no previous log of it"
    if ended:
        return f"there is no log of {name}: {ended}"
    if reason is NoLogReason.WAITING:
        return f"{name} is waiting to start: {waiting}" if waiting else f"{name} is waiting to start"
    if reason is NoLogReason.STAYED_ON_NODE:
        return f"the log of {name} stayed on its node: the job ended before it was fetched"
    return f"there is no log of {name}: its pod has no folder at the site"
