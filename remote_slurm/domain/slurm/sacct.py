"""sacct: its command lines, and the parser of its output."""

from __future__ import annotations

from collections.abc import Iterable

from remote_slurm.domain.shell import words
from remote_slurm.domain.slurm.fields import SEPARATOR, seconds, split_comment
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState

_ACCOUNT = ("JobIDRaw", "State", "ExitCode", "Submit")
# The field that identifies the pod of a job: sacct has SubmitLine since Slurm 21.08
SUBMIT_LINE = "SubmitLine"
_ORIGINS = (SUBMIT_LINE, "WorkDir")


def accounting_commands(sacct: str, job_ids: Iterable[str], *, comments: bool = False) -> tuple[str, str]:
    """One line for each job, without its steps, and with earlier jobs of the same id; for a sacct without SubmitLine.

    A job of a federation may run in another cluster; elsewhere --federation (Slurm 17.11) changes nothing.

    A comment is there only with AccountingStoreFlags=job_comment (slurm.conf(5)), and may hold the separator.
    """
    ids = ",".join(job_ids)
    options = [sacct, "--noheader", "--parsable2", "--allocations", "--duplicates", "--federation", f"--jobs={ids}"]
    comment = ["Comment"] if comments else []
    new, old = (words([*options, f"--format={','.join((*_ACCOUNT, origin, *comment))}"]) for origin in _ORIGINS)
    return new, old


def parse_accounting(text: str) -> list[Job]:
    """How each job ended, by its id, in the order of their submission: the accounting does not know the pod."""
    rows = (line.split(SEPARATOR, len(_ACCOUNT)) for line in text.split("\n"))
    jobs = [_accounted(*row) for row in rows if len(row) >= len(_ACCOUNT) and row[0].isdigit()]
    return sorted(jobs, key=lambda job: job.submitted or 0)


def _accounted(job_id: str, state: str, code: str, submitted: str, rest: str = "") -> Job:
    """`7:0` is an exit code, `0:9` a signal (ExitCode in sacct(1))."""
    number, _, signal = code.partition(":")
    exit_code = int(number) if number.isdigit() and signal == "0" else None
    origin, comment = split_comment(rest)
    found = JobState.parse(state)
    return Job(job_id, found, comment=comment, exit_code=exit_code, submitted=seconds(submitted), origin=origin)
