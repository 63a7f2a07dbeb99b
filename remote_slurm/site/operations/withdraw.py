"""Undo the attempts of pods that sbatch has certainly refused, so that the pods can be submitted again."""

from __future__ import annotations

from collections.abc import Mapping

from remote_slurm.site.operation import Operation
from remote_slurm.site.pod_replies import PodReply


def operation(keep_folder: Mapping[str, bool]) -> Operation[None]:
    """Each pod with whether its folder stays. The outcome of each pod is read by `is_done`."""
    kept = " ".join(pod for pod, keep in keep_folder.items() if keep)
    dropped = " ".join(pod for pod, keep in keep_folder.items() if not keep)
    return Operation("withdraw", lambda _: None, {"kept": kept, "dropped": dropped})


def is_done(reply: PodReply) -> bool:
    """Whether the pod's attempt is undone."""
    return reply.word == "withdrawn"
