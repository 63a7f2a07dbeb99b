"""Containers that interLink's annotations keep in the cluster: their state follows that of the pod at the site.

They are missing from create's pod, and present in that of each status request (getOffloadContainers in interLink's
pkg/virtualkubelet/execute.go). The Virtual Kubelet takes the pod's phase from all containers alike: one that stayed
waiting would make the pod Pending again as soon as the others have ended.
"""

from __future__ import annotations

from typing import Any

from remote_slurm.domain.pod.model import Pod

_LOCAL = "interlink.eu/disable-offload-containers"
_LOCAL_INIT = "interlink.eu/disable-offload-init-containers"

State = dict[str, Any]


def local_names(pod: Pod) -> frozenset[str]:
    """The names of the pod's containers of both kinds that no job runs."""
    return frozenset(
        name
        for key in (_LOCAL, _LOCAL_INIT)
        for word in pod.metadata.annotations.get(key, "").split(",")
        if (name := word.strip())
    )


def local_state(states: list[State], began: str, waiting: State) -> State:
    """Of a container, from the `states` of those at the site; `began` is when their first did, empty for not yet."""
    if _have_ended(states):
        return {"terminated": _end([state["terminated"] for state in states])}
    return {"running": {"startedAt": began}} if began else waiting


def local_init_state(states: list[State], began: str, waiting: State) -> State:
    """Of an init container: it is over once the containers at the site have begun."""
    if began:
        return {"terminated": {"exitCode": 0, "reason": "Completed"}}
    return local_state(states, began, waiting)


def _have_ended(states: list[State]) -> bool:
    return bool(states) and all("terminated" in state for state in states)


def _end(ends: list[State]) -> State:
    """The worst of them."""
    worst: State = max(ends, key=lambda end: end["exitCode"])
    return {key: worst[key] for key in ("exitCode", "reason", "startedAt", "finishedAt") if key in worst}
