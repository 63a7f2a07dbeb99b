"""Read everything that the site remembers of the pods, in one command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from remote_slurm.domain.records import Record, parse_records
from remote_slurm.domain.slurm.job_ids import is_job_id
from remote_slurm.site.operation import Operation, yes
from remote_slurm.site.reply import Reply

_ABANDONED = "void"  # see abandon.sh
_CANCELLED = "cancelled/"  # see close_fences.sh


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the site remembers: the pods with a folder, their job ids if known, and all records.

    `unfinished` are pods whose submission has to go on: sbatch was called, or refused the pod for now. `uid` is the
    account's user id, None if `id` does not print it. `half_deleted` are pods whose delete was begun and not finished;
    the owner of the folder has to finish it. `given_up` are pods whose submission was abandoned: no job of theirs will
    start anything. `cancelled` are those whose job was cancelled while it waited. `attempted` is when sbatch was
    called, in seconds by the site's clock.
    """

    pods: frozenset[str]
    job_ids: Mapping[str, str]
    deleted: frozenset[str]
    unfinished: frozenset[str]
    records: tuple[Record, ...]
    uid: int | None = None
    half_deleted: frozenset[str] = frozenset()
    given_up: frozenset[str] = frozenset()
    cancelled: frozenset[str] = frozenset()
    attempted: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the site remembers, and the sidecar's `epoch` if it took the folder over."""

    known: Recovery
    epoch: str


def operation(*, owner: bool, take_over: bool) -> Operation[Recovered]:
    """Read the folders of all pods. `take_over`: become the owner of DataRootFolder."""
    return Operation("recover", partial(_recovered, owner=owner), {"owns": yes(take_over)}, seconds=120)


def _recovered(reply: Reply, *, owner: bool) -> Recovered:
    reply.require("recovered")
    return Recovered(_recovery(reply, owner=owner), reply.get("epoch"))


def _recovery(reply: Reply, *, owner: bool) -> Recovery:
    fences = dict(map(_fence, reply.all("id")))
    pods = frozenset(map(_pod, reply.all("pod")))
    deleted = frozenset(name.removesuffix(".deleted") for name in reply.all("deleted"))
    attempted = dict(map(_attempt, reply.all("attempt")))
    return Recovery(
        pods=pods,
        job_ids=dict(_recorded(reply)) | {pod: holder for pod, holder in fences.items() if is_job_id(holder)},
        deleted=deleted,
        half_deleted=pods & deleted if owner else frozenset(),
        given_up=frozenset(pod for pod, holder in fences.items() if holder == _ABANDONED),
        cancelled=frozenset(pod for pod, holder in fences.items() if holder.startswith(_CANCELLED)),
        unfinished=frozenset(map(_pod, reply.all("again"))) | attempted.keys(),
        attempted=attempted,
        records=tuple(parse_records(reply.messages)),
        uid=int(uid) if (uid := reply.get("uid")).isdigit() else None,
    )


def _pod(path: str) -> str:
    return path.removeprefix("./")


def _fence(line: str) -> tuple[str, str]:
    """`<pod>.job <holder>` -> pod, holder: a job id, or a word if a delete or abandon came before any job."""
    name, _, holder = line.partition(" ")
    return name.removesuffix(".job"), holder


def _attempt(line: str) -> tuple[str, float]:
    """`<pod>.attempt <seconds>` -> pod, seconds."""
    name, _, seconds = line.partition(" ")
    return name.removesuffix(".attempt"), float(seconds)


def _recorded(reply: Reply) -> Iterator[tuple[str, str]]:
    """`./<pod>/job.id:<id>` -> pod, id."""
    for line in reply.others:
        path, _, job_id = line.rpartition("/job.id:")
        if path.startswith("./") and is_job_id(job_id):
            yield _pod(path), job_id
