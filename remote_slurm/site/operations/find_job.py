"""Look up one job by squeue: whether it runs now, and on which node."""

from __future__ import annotations

from remote_slurm.config import Config
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.squeue import PodOfTask, job_command, parse_jobs
from remote_slurm.site.operation import Operation, yes
from remote_slurm.site.reply import Reply


def operation(config: Config, job_id: str, *, root_is_known: bool) -> Operation[Reply]:
    """The reply is for `found`. If the path of DataRootFolder is known, its file system is not accessed."""
    values = {"squeue": job_command(config.squeue_path, job_id), "known": yes(root_is_known)}
    return Operation("find_job", _checked, values, seconds=25)


def _checked(reply: Reply) -> Reply:
    reply.require_success("job", "squeue")
    return reply


def found(reply: Reply, job_id: str, roots: tuple[str, ...], pod_of_task: PodOfTask) -> Job | None:
    """The job; None if squeue did not list it. `roots` are the paths of DataRootFolder at the site."""
    jobs = (job for line in reply.others for job in parse_jobs(line, roots, pod_of_task))
    return next((job for job in jobs if job.id == job_id), None)
