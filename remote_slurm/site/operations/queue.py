"""List the account's jobs by one squeue."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from remote_slurm.config import Config
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.squeue import PodOfTask, array_of_line, parse_jobs, queue_command
from remote_slurm.log import warning
from remote_slurm.site.cooperative import unhurried
from remote_slurm.site.operation import Operation, yes
from remote_slurm.site.reply import Reply

# From so many jobs on, the site prints what has changed. That takes it two processes and a file, so that a short queue
# is printed whole.
LONG_QUEUE = 300


@dataclass(frozen=True, slots=True)
class Queue:
    """The pods' jobs, and by how many seconds the site's clock is ahead of ours.

    `others` are the account's jobs whose batch script is not below DataRootFolder, by id: some may run a copy.
    `seconds` is how long squeue took; None if the site has not measured it.
    """

    jobs: tuple[Job, ...]
    clock_offset: float
    others: Mapping[str, Job] = field(default_factory=dict)
    seconds: float | None = None


def arrays(lines: Iterable[str], roots: tuple[str, ...]) -> set[str]:
    """The names of our arrays in lines of squeue."""
    return {name for line in lines if (name := array_of_line(line, roots))}


def _checked(reply: Reply) -> Reply:
    reply.require_success("queue", "squeue")
    return reply


class QueueReader:
    """Knows the lines of the last reply of squeue: they are not parsed again, and a long queue is not sent again.

    The token of a reply stands for its lines, at the site and here. A reply that was lost has a token that is not known
    here, and another sidecar or login node knows none: then all lines are sent.
    """

    def __init__(self) -> None:
        self._roots: tuple[str, ...] = ()
        self._lines: dict[str, None] = {}  # of the last reply
        self._jobs: dict[str, list[Job]] = {}
        self._token = ""  # of the last reply, if the site has kept it
        self._compares = True
        self._kept = False  # whether replies are kept at the site

    def operation(self, config: Config, *, root_is_known: bool) -> Operation[Reply]:
        """The reply is for `take`. If the path of DataRootFolder is known, its file system is not accessed."""
        is_long = self._compares and len(self._lines) >= LONG_QUEUE
        forget, self._kept = self._kept and not is_long, is_long
        values = {
            "squeue": queue_command(config.squeue_path, comments=file_transfer(config).reports_in_comment),
            "known": yes(root_is_known),
            "token": secrets.token_hex(8) if is_long else "",
            "base": self._token,
            "rows": str(len(self._lines)),
            "forget": yes(forget),
        }
        return Operation("queue", _checked, values, seconds=75)

    def take(self, reply: Reply) -> bool:
        """Note all lines of squeue. False if only changes were sent that do not fit the last reply: ask again."""
        if not reply.has("rows"):
            self._token, self._lines = "", dict.fromkeys(reply.others)
            return True
        number, token, *base = reply.get("rows").split()
        lines = dict.fromkeys(self._lines if base else ())
        fits = base in ([], [self._token])
        for line in reply.all("-"):
            fits = fits and line in lines
            lines.pop(line, None)
        lines |= dict.fromkeys(reply.all("+"))
        if fits and len(lines) == int(number):
            self._token, self._lines = token, lines
            return True
        self._compares, self._token = False, ""
        warning("the squeue delta does not match the cached listing; requesting full listings", lines=number)
        return False

    def arrays(self, roots: tuple[str, ...]) -> set[str]:
        """The names of our arrays that squeue lists."""
        return arrays(self._lines, roots)

    async def read(self, reply: Reply, roots: tuple[str, ...], pod_of_task: PodOfTask) -> Queue:
        """The jobs of all lines. `roots` are the paths of DataRootFolder at the site."""
        _, clock, *squeue = reply.get("queue").split()
        offset = float(clock) - time.time()
        known = self._jobs if self._roots == roots else {}
        jobs: dict[str, list[Job]] = {}
        async for line in unhurried(self._lines):
            if found := known.get(line) or parse_jobs(line, roots, pod_of_task):
                jobs[line] = found
        # the table of an array may be seen later
        known = {line: found for line, found in jobs.items() if found[0].pod or not array_of_line(line, roots)}
        self._roots, self._jobs = roots, known
        listed = [job for found in jobs.values() for job in found]
        ours = tuple(job for job in listed if job.pod)
        return Queue(ours, offset, {job.id: job for job in listed if not job.pod}, _duration(squeue))


def _duration(moments: list[str]) -> float | None:
    """Between two times since the node started."""
    return float(moments[1]) - float(moments[0]) if len(moments) == 2 else None  # noqa: PLR2004 - both or none
