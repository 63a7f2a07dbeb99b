"""Delete pods as far as possible now: write tombstones, stop jobs, then remove folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from remote_slurm.config import Config
from remote_slurm.domain.runtimes.registry import RUNTIMES
from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.squeue import active_command, output_command
from remote_slurm.errors import SlurmFailed
from remote_slurm.job import REMOVAL
from remote_slurm.site.operation import Operation, lines, script_text, yes
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """The `gone` pods have no job and no folder any more. `stuck`: why the folders of other pods remain."""

    gone: frozenset[str]
    stuck: Mapping[str, str]


def operation(
    config: Config, pods: Mapping[str, bool], grace: Mapping[str, int], *, expires: bool
) -> Operation[DeleteResult]:
    """Delete `pods`: each with whether its job is killed at once.

    `grace` has the grace periods that differ from the one that the pod's runner knows, in seconds. `expires`: remove
    old tombstones as well, for which the script reads all of them.
    """
    runtime = RUNTIMES.configure(config)
    removal, *program = runtime.remove_command() or ("",)
    values = {
        "squeue": active_command(config.squeue_path),
        "output_of": output_command(config.squeue_path),
        "scancel": config.scancel_path,
        "removal": str(removal),
        "program": words(program),
        "expires": yes(expires),
    }
    payload = lines(f"{pod} {'yes' if force else 'no'} {grace.get(pod, '-')}" for pod, force in pods.items())
    read = partial(_result, pods=frozenset(pods))
    prelude = script_text("arrays") + (REMOVAL[runtime.shell_part] if removal else "")
    return Operation("delete", read, values, payload, seconds=130, prelude=prelude, metric="cancel")


def _result(reply: Reply, *, pods: frozenset[str]) -> DeleteResult:
    if reply.has("queue"):
        raise SlurmFailed(f"squeue failed, so no pod was deleted: {reply.messages}", command="squeue")
    busy = (line.partition(" ") for line in reply.all("busy"))
    return DeleteResult(frozenset(reply.all("gone")) & pods, {pod: why for pod, _, why in busy if why})
