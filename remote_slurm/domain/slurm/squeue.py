"""squeue: its command lines, and the parsers of its output.

The path of the batch script identifies the job of a pod: users' flags can change its name, comment and working folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.fields import SEPARATOR, Field, seconds, split_comment
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_ids import is_job_id, job_ids, task_number
from remote_slurm.domain.slurm.job_states import JobState

# squeue -o: the fields have no width, so nothing is cut. The command is last, since a path may hold the separator. No
# field changes while a job runs, as its elapsed time does: a line that was printed before is not parsed again. Tasks of
# an array that wait share a line: --array would print one for each, also for the largest array that the account has.
_QUEUE = (
    Field("%i", "id"),
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


# Folders of arrays in DataRootFolder: the script in each one names the pods of its tasks
ARRAYS = "/.remote-slurm/arrays/"

# Printed after the command, which ends with the name of our script unless the job runs a copy
_COMMENT = Field("%k", "comment")


def active_command(squeue: str) -> str:
    """This account's jobs that are not over: id, state, submit time and command."""
    return words([squeue, "--me", "--noheader", "--format=%i|%T|%V|%o"])


def output_command(squeue: str) -> str:
    """The output file of a job, whose id is to follow: a name that sbatch got from us, whatever script it submitted."""
    return words([squeue, "--noheader", "--Format=StdOut:4096"])


def outputs_command(squeue: str, job_ids: Iterable[str]) -> str:
    """The output files of some jobs, behind their ids."""
    return words([squeue, "--noheader", f"--jobs={','.join(job_ids)}", "--array", "--Format=JobArrayID:40,StdOut:4096"])


def parse_outputs(text: str) -> dict[str, str]:
    """The path by the job's id."""
    rows = (line.strip().partition(" ") for line in text.split("\n"))
    return {job_id: path.strip() for job_id, _, path in rows if is_job_id(job_id)}


PodOfTask = Callable[[str, int], str]
"""The pod of a task, by the name of its array and its number; empty if that is not known."""


def parse_jobs(line: str, roots: tuple[str, ...], pod_of_task: PodOfTask) -> list[Job]:
    """Read a line of squeue: a job, or tasks of an array; none if it is neither.

    `roots` are the paths of DataRootFolder at the site. `pod` is empty if the batch script is below none of the paths.
    """
    row = line.split(SEPARATOR, len(_QUEUE) - 1)
    if len(row) != len(_QUEUE):
        return []
    job_id, state, reason, start, node, submitted, partition, end, rest = row
    ids = job_ids(job_id)
    if not ids:
        return []
    command, comment = split_comment(rest)
    node = "" if node == "n/a" else node
    pod = pod_of_script(command, roots)
    # squeue shows when a held job that was requeued could start again
    starts = None if re.search("held|hold", reason, re.IGNORECASE) else seconds(start)
    job = Job(
        ids[0],
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
    if array := array_of_line(line, roots):
        return [replace(job, id=each, pod=pod_of_task(array, task_number(each))) for each in ids]
    return [replace(job, id=each) for each in ids]


def pod_of_script(path: str, roots: tuple[str, ...]) -> str:
    """`<root>/<pod>/job.sh` -> the pod's name, or nothing."""
    folder, _, script = path.strip().rpartition("/")
    above, _, pod = folder.rpartition("/")
    return pod if script == "job.sh" and above in roots else ""


def array_of_line(line: str, roots: tuple[str, ...]) -> str:
    """The name of our array, some tasks of which a line of squeue shows; empty for any other line."""
    if ARRAYS not in line:
        return ""
    command, _ = split_comment(line.split(SEPARATOR, len(_QUEUE) - 1)[-1])
    above, _, rest = command.strip().rpartition(ARRAYS)
    name, slash, script = rest.partition("/")
    return name if slash and script == "job.sh" and above in roots else ""


def array_of_path(text: str) -> str:
    """The name of the array in a path, or in a command line, that leads to its folder; empty if there is none."""
    found = _ARRAY.search(text)
    return found[1] if found else ""


_ARRAY = re.compile(rf"{re.escape(ARRAYS)}([A-Za-z0-9-]+)")
