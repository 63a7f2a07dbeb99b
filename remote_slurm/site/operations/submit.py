"""Submit pods: store their files and call sbatch for one after another."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping

from remote_slurm.config import Config
from remote_slurm.domain.plan.job_array import JobArray, job_arrays
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.plan.payload import Payload, library_sums, together
from remote_slurm.domain.runtimes.images import PullFailure
from remote_slurm.domain.slurm.squeue import active_command
from remote_slurm.domain.submit_outcome import (
    Attempted,
    Deleted,
    Pulling,
    SbatchFailed,
    Stored,
    SubmitOutcome,
    Submitted,
    Unpullable,
)
from remote_slurm.site.operation import Operation, script_text
from remote_slurm.site.pod_replies import PodReply

_SECONDS = 30
# After this time sbatch is called for no further pod of the script: it may take 15 s on a busy slurmctld
_TURN_SECONDS = 10
# How long to wait for the id if another script has called sbatch for the pod
_ID_SECONDS = 3


def operation(
    config: Config, payloads: Mapping[str, Payload], sent: Collection[str] = (), most_tasks: int = 1
) -> Operation[list[str]]:
    """Submit the pods. The outcome of each pod is read by `outcome`, as its reply arrives.

    `sent` are the libraries to send. The result are those that the site lacks, so that nothing was submitted. Like pods
    become arrays of at most `most_tasks` tasks.
    """
    tasks = [(pod, payload.task) for pod, payload in payloads.items() if payload.task and most_tasks > 1]
    arrays = job_arrays(tasks, most_tasks, config.bash_path, config.data_root_folder)
    members = {pod for array in arrays for pod in array.pods}
    values = {
        "pods": " ".join(payloads),
        "packed": " ".join(pod for pod, payload in payloads.items() if payload),
        "pulling": " ".join(pod for pod, payload in payloads.items() if payload.pulls),
        "own_chdir": " ".join(pod for pod, payload in payloads.items() if payload.sets_chdir),
        "alone": " ".join(pod for pod in payloads if pod not in members),
        "arrays": " ".join(str(number) for number in range(len(arrays))),
        **{name: text for number, array in enumerate(arrays) for name, text in _array_values(number, array)},
        "sent": " ".join(sent),
        "incoming": f".remote-slurm/incoming/{next(iter(payloads))}.{secrets.token_hex(6)}",
    }
    scripts = {each.library: each.scripts for each in payloads.values() if each.library}
    settings = {
        "libraries": " ".join(sorted(scripts)),
        "sums": "\n".join(library_sums(*each) for each in sorted(scripts.items())),
        "sbatch": config.sbatch_path,
        "squeue": active_command(config.squeue_path),
        "scancel": config.scancel_path,
        "scontrol": file_transfer(config).release_command,
        "seconds": str(_TURN_SECONDS),
        "wait_seconds": str(_ID_SECONDS),
    }
    payload = together(payloads.values(), sent)
    prelude = script_text("attempts")
    return Operation(
        "submit", lambda reply: reply.all("lacks"), values, payload, _SECONDS, prelude=prelude, settings=settings
    )


def _array_values(number: int, array: JobArray) -> Iterator[tuple[str, str]]:
    yield f"members_{number}", " ".join(array.pods)
    yield f"head_{number}", array.head
    yield f"foot_{number}", array.foot
    yield f"throttle_{number}", array.throttle


_OUTCOMES: Mapping[str, Callable[[PodReply], SubmitOutcome]] = {
    "submitted": lambda reply: Submitted(reply.rest),
    "attempted": lambda reply: Attempted(reply.messages),
    "failed": lambda reply: SbatchFailed.from_stderr(reply.messages, _pods_of_array(reply.rest)),
    "deleted": lambda _: Deleted(),
    "stored": lambda _: Stored(),
    "pulling": lambda reply: Pulling(image=reply.rest),
    "failing": lambda reply: Pulling(failure=PullFailure.parse(reply.rest)),
    "unpullable": lambda reply: Unpullable(PullFailure.parse(reply.rest)),
}


def _pods_of_array(rest: str) -> int:
    """`CODE`, or `CODE PODS`."""
    _, _, pods = rest.partition(" ")
    return int(pods) if pods.isdigit() else 1


def outcome(reply: PodReply) -> SubmitOutcome | None:
    """None if the reply is not an outcome."""
    return _OUTCOMES[reply.word](reply) if reply.word in _OUTCOMES else None
