"""Release held jobs (SHARED_FS: false): the job in the pod's fence starts, other jobs of the pod are cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from remote_slurm.config import Config
from remote_slurm.site.operation import Operation, lines
from remote_slurm.site.reply import Reply


class ReleaseDecision(Enum):
    """Whether the pod of a held job is wanted.

    NEVER: it was not, for as long as a file system may take to show a pod that another sidecar has created.
    """

    YES = "yes"
    NO = "no"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Released:
    """The ids of jobs that need no further release while their decision stays, and one whose release failed."""

    done: frozenset[str]
    failed: str = ""
    reason: str = ""


def operation(config: Config, jobs: Iterable[tuple[str, str, ReleaseDecision]]) -> Operation[Released]:
    """Release or cancel the jobs of (pod, job id, decision)."""
    values = {"scontrol": config.scontrol_path, "scancel": config.scancel_path}
    payload = lines(f"{pod} {job_id} {decision.value}" for pod, job_id, decision in jobs)
    return Operation("release", _released, values, payload)


def _released(reply: Reply) -> Released:
    done = (line for word in ("released", "cancelled", "kept") for line in reply.all(word))
    failed = "".join(reply.all("unreleased")[:1])
    reason = " ".join(reply.messages.split()) if failed else ""
    return Released(frozenset(line.rpartition(" ")[2] for line in done), failed, reason)
