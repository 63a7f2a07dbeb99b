"""List the account's jobs by one squeue."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from remote_slurm.config import Config
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.squeue import PodOfTask, array_of_line, parse_jobs, queue_command
from remote_slurm.site.cooperative import unhurried
from remote_slurm.site.operation import Operation, yes
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class Queue:
    """The pods' jobs, and by how many seconds the site's clock is ahead of ours.

    `others` are the account's jobs whose batch script is not below DataRootFolder, by id: some may run a copy.
    """

    jobs: tuple[Job, ...]
    clock_offset: float
    others: Mapping[str, Job] = field(default_factory=dict)


def operation(config: Config, *, root_is_known: bool) -> Operation[Reply]:
    """The reply is for a `QueueReader`. If the path of DataRootFolder is known, its file system is not accessed."""
    squeue = queue_command(config.squeue_path, comments=file_transfer(config).reports_in_comment)
    return Operation("queue", _checked, {"squeue": squeue, "known": yes(root_is_known)}, seconds=75)


def arrays(reply: Reply, roots: tuple[str, ...]) -> set[str]:
    """The names of our arrays that squeue lists."""
    return {name for line in reply.others if (name := array_of_line(line, roots))}


def _checked(reply: Reply) -> Reply:
    reply.require_success("queue", "squeue")
    return reply


class QueueReader:
    """Reads replies of squeue. A line that was in the reply before is not parsed again."""

    def __init__(self) -> None:
        self._roots: tuple[str, ...] = ()
        self._jobs: dict[str, list[Job]] = {}

    async def read(self, reply: Reply, roots: tuple[str, ...], pod_of_task: PodOfTask) -> Queue:
        """`roots` are the paths of DataRootFolder at the site."""
        offset = float(reply.get("queue").partition(" ")[2] or 0) - time.time()
        known = self._jobs if self._roots == roots else {}
        jobs: dict[str, list[Job]] = {}
        async for line in unhurried(reply.others):
            if found := known.get(line) or parse_jobs(line, roots, pod_of_task):
                jobs[line] = found
        # the table of an array may be seen later
        known = {line: found for line, found in jobs.items() if found[0].pod or not array_of_line(line, roots)}
        self._roots, self._jobs = roots, known
        listed = [job for found in jobs.values() for job in found]
        return Queue(tuple(job for job in listed if job.pod), offset, {job.id: job for job in listed if not job.pod})
