"""sacct: its command lines, and the parsers of its output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from remote_slurm.domain.job_usage import JobUsage, Source
from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.fields import SEPARATOR, duration, seconds, split_comment
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_ids import is_job_id, job_ids, whole_job
from remote_slurm.domain.slurm.job_states import JobState

_ACCOUNT = ("JobID", "State", "ExitCode", "Submit", "Start", "End", "Partition", "NodeList", "AllocTRES")
# The field that identifies the pod of a job: sacct has SubmitLine since Slurm 21.08
SUBMIT_LINE = "SubmitLine"
_ORIGINS = (SUBMIT_LINE, "WorkDir")
# No field that a job can write: the steps of a job have the command line of its own srun as their SubmitLine
_USED = ("JobID", "Submit", "TotalCPU", "TRESUsageInTot")


@dataclass(frozen=True, slots=True)
class AccountingCommands:
    """`jobs` prints one line for each job; `jobs_without_line` does for a sacct without SubmitLine.

    `steps` prints one line for each job and for each of its steps.
    """

    jobs: str
    jobs_without_line: str
    steps: str


def accounting_commands(sacct: str, ids: Iterable[str], *, comments: bool = False) -> AccountingCommands:
    """Ask for the jobs, with earlier jobs of the same id, and for what each has used.

    A job of a federation may run in another cluster; elsewhere --federation (Slurm 17.11) changes nothing.

    A job array is asked for as a whole: sacct prints nothing of a task that never started if it is asked for that task.

    A comment is there only with AccountingStoreFlags=job_comment (slurm.conf(5)), and may hold the separator.
    """
    whole = ",".join(dict.fromkeys(map(whole_job, ids)))
    options = [sacct, "--noheader", "--parsable2", "--duplicates", "--federation", f"--jobs={whole}"]
    comment = ["Comment"] if comments else []
    new, old = (
        words([*options, "--allocations", f"--format={','.join((*_ACCOUNT, origin, *comment))}"]) for origin in _ORIGINS
    )
    return AccountingCommands(new, old, words([*options, f"--format={','.join(_USED)}"]))


def submissions_command(sacct: str) -> str:
    """This account's jobs of the last two hours: id and command line of sbatch. Before Slurm 21.08 it fails."""
    options = ["--noheader", "--parsable2", "--allocations", "--starttime=now-2hours"]
    return words([sacct, *options, f"--format=JobID,{SUBMIT_LINE}"])


def parse_accounting(jobs: str, steps: str = "") -> list[Job]:
    """How each job ended, by its id, in the order of their submission: the accounting does not know the pod."""
    rows = (line.split(SEPARATOR, len(_ACCOUNT)) for line in jobs.split("\n"))
    found = [
        replace(_accounted(row), id=job_id) for row in rows if len(row) >= len(_ACCOUNT) for job_id in job_ids(row[0])
    ]
    used = _used(steps)
    return sorted((_with_usage(job, used) for job in found), key=lambda job: job.submitted or 0)


def _accounted(row: list[str]) -> Job:
    """`7:0` is an exit code, `0:9` a signal (ExitCode in sacct(1))."""
    job_id, state, code, submitted, start, end, partition, nodes, tres, *others = row
    number, _, signal = code.partition(":")
    exit_code = int(number) if number.isdigit() and signal == "0" else None
    origin, comment = split_comment("".join(others))
    reserved = _tres(tres)
    return Job(
        job_id,
        JobState.parse(state),
        start=seconds(start),
        comment=comment,
        exit_code=exit_code,
        submitted=seconds(submitted),
        origin=origin,
        partition=partition,
        node=_first_node(nodes),
        end=seconds(end),
        usage=JobUsage(cpus=reserved.get("cpu"), gpus=_gpus(reserved), memory_limit=reserved.get("mem")),
    )


_NUMBERS = re.compile(r"\[([0-9]+)[0-9,-]*\]")
_NODE = re.compile(r"[A-Za-z0-9._-]+")


def _first_node(nodes: str) -> str:
    """`cn[001-003,7],gpu1` -> `cn001`, where the batch script runs, as squeue's %B. Empty for `None assigned`."""
    first, _, _ = _NUMBERS.sub(r"\1", nodes).partition(",")
    return first if _NODE.fullmatch(first) else ""


@dataclass(slots=True)
class _Used:
    cpu_seconds: float = 0.0
    memory: int = 0


# The id alone does not identify a job: ids are reused
_Key = tuple[str, int | None]


def _used(steps: str) -> Mapping[_Key, _Used]:
    """What each job has used. Without JobAcctGatherType, the accounting has no memory, and no CPU time that counts."""
    used: dict[_Key, _Used] = {}
    for line in steps.split("\n"):
        row = line.strip().split(SEPARATOR)
        if len(row) != len(_USED):
            continue
        job_id, submitted, cpu, tres = row
        number, dot, _ = job_id.partition(".")
        if not is_job_id(number):
            continue
        each = used.setdefault((number, seconds(submitted)), _Used())
        if not dot:
            each.cpu_seconds = _cpu_seconds(cpu) or 0.0
        else:
            # steps may run at the same time or not: the largest alone is certain
            each.memory = max(each.memory, _tres(tres).get("mem", 0))
    return used


def _with_usage(job: Job, used: Mapping[_Key, _Used]) -> Job:
    found = used.get((job.id, job.submitted))
    if found is None or job.usage is None:
        return job
    cpu = found.cpu_seconds or None
    usage = replace(
        job.usage,
        source=Source.NONE if cpu is None else Source.SACCT,
        cpu_seconds=cpu,
        wall_seconds=job.ran,
        memory_peak=found.memory or None,
    )
    return replace(job, usage=usage)


def _cpu_seconds(text: str) -> float | None:
    """`03:04.567`, `1-02:03:04`."""
    whole = duration(text)
    if whole is None:
        return None
    _, dot, fraction = text.partition(".")
    return whole + (float(f"0.{fraction}") if dot else 0.0)


_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]+)?)([KMGTPE]?)")
_POWERS = {unit: 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P", "E"))}


def _tres(text: str) -> dict[str, int]:
    """`cpu=4,gres/gpu=1,mem=7.50G` -> the amount of each; memory in bytes. What is no number is left out."""
    pairs = (item.partition("=") for item in text.split(","))
    amounts = ((name, _AMOUNT.fullmatch(amount)) for name, _, amount in pairs)
    return {name: int(float(found[1]) * _POWERS[found[2]]) for name, found in amounts if found}


def _gpus(reserved: Mapping[str, int]) -> int | None:
    """Only with gres/gpu in AccountingStorageTRES; some sites list the types only."""
    types = [amount for name, amount in reserved.items() if name.startswith("gres/gpu:")]
    return reserved.get("gres/gpu", sum(types) if types else None)
