"""The batch script of a job array, whose tasks are like pods: it sends each task into the folder of its pod.

The script is the table of the array's tasks, too: arrays.sh and `parse_table` read the lines that name the pods.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from remote_slurm import __version__
from remote_slurm.domain.shell import quote
from remote_slurm.domain.slurm.flags import Flag

# Each of them means one thing for a job, and another one for an array or its tasks; `open-mode` is about an output file
# that a task moves away
_OF_ONE_JOB = frozenset(
    {"bb", "bbf", "chdir", "dependency", "hold", "immediate", "mail-type", "mail-user", "open-mode"}
)
_NAME = "job-name"
_MOST_NAME = 100

_HEAD = """\
#!{bash} -p
# Like pods as the tasks of one Slurm job array, written by remote-slurm {version} for Kubernetes. Each task goes on
# with the job.sh in the folder of its pod. To stop one task: scancel, with its id, such as 42_7.
{flags}

case $SLURM_ARRAY_TASK_ID in
"""
_TASK = re.compile(r" *([0-9]+)\) pod=([A-Za-z0-9.-]+) ;;")
# What slurmstepd still prints into the file arrives in the pod's folder, since a rename keeps the file. The job.sh of
# the pod cleans the environment, which this script leaves as it is.
_FOOT = """\
    *) exit 1 ;;
esac
unset CDPATH HOME
# the path in the configuration: Slurm has resolved symbolic links on the login node, which may differ here
array=$SLURM_SUBMIT_DIR
cd {root}/"$pod" 2>/dev/null || cd "$array/../../../$pod" || exit 1
# the array may have been given up before sbatch had an answer: then the pods have other jobs
fence=../.remote-slurm/arrays/${{array##*/}}/fence
PATH=/usr/bin:/bin:$PATH ln -s "$SLURM_ARRAY_JOB_ID" "$fence" 2>/dev/null
case $(PATH=/usr/bin:/bin:$PATH readlink "$fence") in
    void) echo "remote-slurm: this array was given up, and starts nothing" && exit 1 ;;
    "") echo "remote-slurm: the fence of the array cannot be written" && exit 1 ;;
esac
# a script that was about to give the array up may have been killed
[ -e "$array/job.sh" ] || PATH=/usr/bin:/bin:$PATH mv -f "$array/given-up.sh" "$array/job.sh" 2>/dev/null
output=job-${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID.out
PATH=/usr/bin:/bin:$PATH mv -f "$array/$SLURM_ARRAY_TASK_ID.out" "$output" 2>/dev/null
export SLURM_SUBMIT_DIR=$PWD
exec "$BASH" -p "$PWD/job.sh"
"""


@dataclass(frozen=True, slots=True)
class ArrayOptions:
    """What the tasks of an array have in common: its `#SBATCH` lines, and how many tasks may run at once."""

    flags: str
    throttle: str = ""


@dataclass(frozen=True, slots=True)
class ArrayTask:
    """A pod that may be a task of an array; `name` is the name of its job.

    `refused` is the size of the array with this pod that Slurm has refused, and `most` the size of the next; 0: none.
    """

    options: ArrayOptions
    name: str
    refused: int = 0
    most: int = 0

    def after_refusal(self, tasks: int) -> ArrayTask:
        """The same after Slurm refused an array of so many tasks: half of them at once, and then a job of its own."""
        return replace(self, refused=tasks, most=1 if self.refused else max(1, tasks // 2))

    def max_tasks(self, limit: int) -> int:
        """The maximum number of tasks of an array with this pod, if other arrays may have `limit` tasks."""
        return min(limit, self.most or limit)


@dataclass(frozen=True, slots=True)
class JobArray:
    """Pods of one array in the order of their tasks; in its script, `head` and `foot` enclose the table of tasks."""

    pods: tuple[str, ...]
    head: str
    foot: str
    throttle: str


def array_task(flags: Iterable[Flag], pod_name: str, throttle: str) -> ArrayTask | None:
    """The task that a pod can be; None if its flags have another meaning for an array."""
    flags = list(flags)
    name = next((flag.value or "" for flag in flags if flag.name == _NAME), "")
    if any(flag.name in _OF_ONE_JOB for flag in flags):
        return None
    # a name that the pod asks for is an option like others
    common = [flag for flag in flags if flag.name != _NAME or name != pod_name]
    return ArrayTask(ArrayOptions("\n".join(flag.line() for flag in common), throttle), name)


def job_arrays(
    tasks: Iterable[tuple[str, ArrayTask]], max_tasks: int, bash: str, data_root_folder: str
) -> list[JobArray]:
    """Group pods by their options into arrays of at most `max_tasks` tasks. A pod that is alone is in none."""
    groups: dict[tuple[ArrayOptions, int], list[tuple[str, str]]] = {}
    for pod, task in tasks:
        groups.setdefault((task.options, task.max_tasks(max_tasks)), []).append((pod, task.name))
    chunks = (
        (options, group[at : at + size])
        for (options, size), group in groups.items()
        for at in range(0, len(group), size)
    )
    root = quote(data_root_folder) if data_root_folder.startswith("/") else f"~/{quote(data_root_folder)}"
    return [
        JobArray(
            pods=tuple(pod for pod, _ in chunk),
            head=_head(options, [name for _, name in chunk], bash),
            foot=_FOOT.format(root=root),
            throttle=options.throttle,
        )
        for options, chunk in chunks
        if len(chunk) > 1
    ]


def _head(options: ArrayOptions, names: Sequence[str], bash: str) -> str:
    own_name = any(line.startswith(f"#SBATCH --{_NAME}") for line in options.flags.splitlines())
    stem = _common_beginning(min(names), max(names))[:_MOST_NAME].rstrip("-.") or "pods"
    lines = [options.flags] if own_name else [Flag(_NAME, stem).line(), options.flags]
    return _HEAD.format(bash=bash, version=__version__, flags="\n".join(filter(None, lines)))


def _common_beginning(first: str, last: str) -> str:
    """What the first and the last of sorted names begin with, and so all between them."""
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(character for character, _ in pairs)


def parse_table(script: str) -> dict[int, str]:
    """The pods of an array by the numbers of their tasks."""
    found = (_TASK.fullmatch(line) for line in script.splitlines())
    return {int(match[1]): match[2] for match in found if match}
