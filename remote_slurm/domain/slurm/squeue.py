"""squeue: its command lines, and the parsers of its output.

The path of the batch script identifies the job of a pod: users' flags can change its name, comment and working folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.fields import SEPARATOR, Field, seconds, split_comment
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState

# squeue -o: the fields have no width, so nothing is cut. The command is last, since a path may hold the separator. No
# field changes while a job runs, as its elapsed time does: a line that was printed before is not parsed again.
_QUEUE = (
    Field("%A", "id"),
    Field("%T", "state"),
    Field("%r", "reason"),
    Field("%S", "start"),
    Field("%B", "node"),
    Field("%V", "submitted"),
    Field("%P", "partition"),
    Field("%e", "end"),
    Field("%o", "command"),
)


def queue_command(squeue: str, *, comments: bool = False) -> str:
    """All jobs of this account, ended ones too for as long as slurmctld remembers them (MinJobAge)."""
    form = SEPARATOR.join(field.code for field in (*_QUEUE, *([_COMMENT] if comments else [])))
    return words([squeue, "--me", "--noheader", "--states=all", f"--format={form}"])


def job_command(squeue: str, job_id: str) -> str:
    """One job, also one that has ended a short time ago."""
    form = SEPARATOR.join(field.code for field in _QUEUE)
    return words([squeue, "--noheader", "--states=all", f"--jobs={job_id}", f"--format={form}"])


# Printed after the command, which ends with the name of our script unless the job runs a copy
_COMMENT = Field("%k", "comment")


def active_command(squeue: str) -> str:
    """This account's jobs that are not over: id, state, submit time and command."""
    return words([squeue, "--me", "--noheader", "--format=%A|%T|%V|%o"])


def output_command(squeue: str) -> str:
    """The output file of a job, whose id is to follow: a name that sbatch got from us, whatever script it submitted."""
    return words([squeue, "--noheader", "--Format=StdOut:4096"])


def outputs_command(squeue: str, job_ids: Iterable[str]) -> str:
    """The output files of some jobs, behind their ids."""
    return words([squeue, "--noheader", f"--jobs={','.join(job_ids)}", "--Format=JobID:20,StdOut:4096"])


def parse_outputs(text: str) -> dict[str, str]:
    """The path by the job's id."""
    rows = (line.strip().partition(" ") for line in text.split("\n"))
    return {job_id: path.strip() for job_id, _, path in rows if job_id.isdigit()}


def parse_job(line: str, roots: tuple[str, ...]) -> Job | None:
    """Read a line of squeue; None if it is none.

    `roots` are the paths of DataRootFolder at the site. `pod` is empty if the batch script is below none of the paths.
    """
    row = line.split(SEPARATOR, len(_QUEUE) - 1)
    if len(row) != len(_QUEUE):
        return None
    job_id, state, reason, start, node, submitted, partition, end, rest = row
    if not job_id.isdigit():
        return None
    command, comment = split_comment(rest)
    node = "" if node == "n/a" else node
    pod = pod_of_script(command, roots)
    # squeue shows when a held job that was requeued could start again
    starts = None if re.search("held|hold", reason, re.IGNORECASE) else seconds(start)
    return Job(
        job_id,
        JobState.parse(state),
        reason,
        pod,
        starts,
        comment,
        node,
        submitted=seconds(submitted),
        partition=partition,
        end=seconds(end),
    )


def pod_of_script(path: str, roots: tuple[str, ...]) -> str:
    """`<root>/<pod>/job.sh` -> the pod's name, or nothing."""
    folder, _, script = path.strip().rpartition("/")
    above, _, pod = folder.rpartition("/")
    return pod if script == "job.sh" and above in roots else ""
