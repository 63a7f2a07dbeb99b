"""Slurm's words: the command beside the parser of what it prints, both from one field table.

Text with a separator of our own, since `--json` costs a hundred times more and changes with every release. The path of
the batch script is what identifies a pod's job: users' flags can change its name, its comment and its working folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, Self

from remote_slurm.domain.shell import words

SEPARATOR = "|"


class Phase(Enum):
    """What a job's state means for the pod's containers."""

    WAITING = auto()
    RUNNING = auto()
    ENDED = auto()
    UNKNOWN = auto()


class JobState(Enum):
    """Every state that squeue and sacct print, Slurm 20.11 to 26.05 (JOB STATE CODES in squeue(1) and sacct(1))."""

    PENDING = "PENDING", Phase.WAITING
    CONFIGURING = "CONFIGURING", Phase.WAITING
    REQUEUED = "REQUEUED", Phase.WAITING
    REQUEUE_FED = "REQUEUE_FED", Phase.WAITING
    REQUEUE_HOLD = "REQUEUE_HOLD", Phase.WAITING
    RESV_DEL_HOLD = "RESV_DEL_HOLD", Phase.WAITING
    SPECIAL_EXIT = "SPECIAL_EXIT", Phase.WAITING
    POWER_UP_NODE = "POWER_UP_NODE", Phase.WAITING
    RUNNING = "RUNNING", Phase.RUNNING
    COMPLETING = "COMPLETING", Phase.RUNNING
    EXPEDITING = "EXPEDITING", Phase.RUNNING
    RESIZING = "RESIZING", Phase.RUNNING
    SIGNALING = "SIGNALING", Phase.RUNNING
    STAGE_OUT = "STAGE_OUT", Phase.RUNNING
    STOPPED = "STOPPED", Phase.RUNNING
    SUSPENDED = "SUSPENDED", Phase.RUNNING
    UPDATE_DB = "UPDATE_DB", Phase.RUNNING
    COMPLETED = "COMPLETED", Phase.ENDED
    BOOT_FAIL = "BOOT_FAIL", Phase.ENDED
    CANCELLED = "CANCELLED", Phase.ENDED
    DEADLINE = "DEADLINE", Phase.ENDED
    FAILED = "FAILED", Phase.ENDED
    LAUNCH_FAILED = "LAUNCH_FAILED", Phase.ENDED
    NODE_FAIL = "NODE_FAIL", Phase.ENDED
    OUT_OF_MEMORY = "OUT_OF_MEMORY", Phase.ENDED
    PREEMPTED = "PREEMPTED", Phase.ENDED
    RECONFIG_FAIL = "RECONFIG_FAIL", Phase.ENDED
    TIMEOUT = "TIMEOUT", Phase.ENDED
    REVOKED = "REVOKED", Phase.UNKNOWN  # another cluster of the federation has started the job
    UNKNOWN = "UNKNOWN", Phase.UNKNOWN

    phase: Phase

    def __new__(cls, word: str, phase: Phase) -> Self:
        member = object.__new__(cls)
        member._value_ = word
        member.phase = phase
        return member

    @classmethod
    def parse(cls, text: str) -> JobState:
        """`CANCELLED by 1000` and `RUNNING` alike; a word that Slurm has learned since is UNKNOWN, never an end."""
        word = text.split(maxsplit=1)[0].rstrip("+") if text.split() else ""
        return _STATES.get(word, cls.UNKNOWN)


_STATES = {state.value: state for state in JobState}


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the queue or the accounting shows it; `pod` is the name of its folder, empty where it is not ours.

    `start` is when it started or is expected to, in seconds since 1970 by the site's clock; None: Slurm cannot say.
    `exit_code` is its batch script's, which only the accounting tells; None where it is not known, or a signal was it.
    `submitted` is when, in seconds since 1970 by the site's clock. `origin` is the command line of sbatch (SubmitLine,
    Slurm 21.08 or later) or else the folder that it ran in, as the accounting shows them. `is_copy`: its script is
    not the one in the pod's folder.
    """

    id: str
    state: JobState
    reason: str = ""
    pod: str = ""
    start: int | None = None
    comment: str = ""
    node: str = ""
    exit_code: int | None = None
    submitted: int | None = None
    origin: str = ""
    is_copy: bool = False

    def may_be_of(self, pod: str, submitted: float | None) -> bool:
        """Whether a job with the pod's job id is the pod's: ids are reused, and wrappers submit copies of the script.

        `submitted` is when the pod's job was submitted, by the site's clock; None if that is not known.
        """
        if f"/{pod}/job" in self.origin or self.origin.endswith(f"/{pod}"):
            return True
        if self.submitted is None or submitted is None:
            return False
        return abs(self.submitted - submitted) <= (1 if self.origin else SUBMIT_SECONDS)


# So far the time that Slurm notes for a submission may be from the time of the call: sbatch waits for a slow slurmctld
# (twice MessageTimeout, at most 200 s), and clocks differ
SUBMIT_SECONDS = 300


class _Field(NamedTuple):
    code: str
    name: str


# squeue -o: the fields have no width, so nothing is cut. The command is last, since a path may hold the separator.
_QUEUE = (
    _Field("%A", "id"),
    _Field("%T", "state"),
    _Field("%r", "reason"),
    _Field("%S", "start"),
    _Field("%B", "node"),
    _Field("%V", "submitted"),
    _Field("%o", "command"),
)


def queue_command(squeue: str, *, comments: bool = False) -> str:
    """All jobs of this account, ended ones too for as long as slurmctld remembers them (MinJobAge)."""
    form = SEPARATOR.join(field.code for field in (*_QUEUE, *([_COMMENT] if comments else [])))
    return words([squeue, "--me", "--noheader", "--states=all", f"--format={form}"])


def job_command(squeue: str, job_id: str) -> str:
    """One job, also one that has ended a short time ago."""
    form = SEPARATOR.join(field.code for field in _QUEUE)
    return words([squeue, "--noheader", "--states=all", f"--jobs={job_id}", f"--format={form}"])


# Behind the command, which ends with the name of our script unless the job runs a copy
_COMMENT = _Field("%k", "comment")
_BEFORE_COMMENT = f"/job.sh{SEPARATOR}"


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
    job_id, state, reason, start, node, submitted, rest = row
    if not job_id.isdigit():
        return None
    command, comment = _without_comment(rest)
    node = "" if node == "n/a" else node
    pod = pod_of_script(command, roots)
    # squeue shows when a held job that was requeued could start again
    starts = None if re.search("held|hold", reason, re.IGNORECASE) else _seconds(start)
    return Job(job_id, JobState.parse(state), reason, pod, starts, comment, node, submitted=_seconds(submitted))


def _without_comment(rest: str) -> tuple[str, str]:
    """A command, and the comment behind it; a path of ours may hold the separator."""
    command, script, comment = rest.partition(_BEFORE_COMMENT)
    if script:
        return command + script.removesuffix(SEPARATOR), comment
    if command.rstrip().endswith(_BEFORE_COMMENT.removesuffix(SEPARATOR)):
        return command, ""
    command, _, comment = rest.partition(SEPARATOR)
    return command, comment


def _seconds(text: str) -> int | None:
    """SLURM_TIME_FORMAT=%s gives seconds; `N/A` is what Slurm cannot say."""
    return int(text) if text.isdigit() else None


def pod_of_script(path: str, roots: tuple[str, ...]) -> str:
    """`<root>/<pod>/job.sh` -> the pod's name, or nothing."""
    folder, _, script = path.strip().rpartition("/")
    above, _, pod = folder.rpartition("/")
    return pod if script == "job.sh" and above in roots else ""


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
    origin, comment = _without_comment(rest)
    found = JobState.parse(state)
    return Job(job_id, found, comment=comment, exit_code=exit_code, submitted=_seconds(submitted), origin=origin)


def step_command(srun: str, job_id: str) -> str:
    """What runs a line of shell, which is to follow as one word, beside what runs in the job (--overlap: 20.11).

    On the batch host, where its folder is, with nothing of its own. What it prints comes as it is: --unbuffered would
    give it a terminal.
    """
    options = ["--overlap", "--quiet", "--nodes=1", "--ntasks=1", "--relative=0", "--mem=0"]
    return words([srun, f"--jobid={job_id}", *options, "--gres=none", "--chdir=/", "sh", "-c"])


# --- sbatch ----------------------------------------------------------------------------------------------------------


# It goes into a pod's status, each time that is asked for
_LONGEST_WORDS = 1000


def slurm_words(stderr: str) -> str:
    """What sbatch said, on one line and without its prefixes."""
    lines = (re.sub(r"^sbatch: (error: )?", "", line.strip()) for line in stderr.split("\n"))
    return "; ".join(line for line in lines if line)


def shortened(words: str) -> str:
    """Return the beginning and the end of a message: sbatch prints its reason after the output of plugins."""
    if len(words) <= _LONGEST_WORDS:
        return words
    return f"{words[: _LONGEST_WORDS // 2]} ... {words[-_LONGEST_WORDS // 2 :]}"


# --- sinfo -----------------------------------------------------------------------------------------------------------

_NODES = (
    _Field("%N", "name"),
    _Field("%c", "cpus"),
    _Field("%m", "memory_mib"),
    _Field("%T", "state"),
    _Field("%G", "gres"),
)
_GONE = ("down", "drain", "fail", "unknown", "future", "power_down", "powered_down")


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the account may use in all; memory in MiB."""

    nodes: int = 0
    cpus: int = 0
    memory_mib: int = 0
    gpus: int = 0


def nodes_command(sinfo: str) -> str:
    """A line for each node and each partition it is in, of the partitions that this account may use."""
    form = SEPARATOR.join(field.code for field in _NODES)
    return words([sinfo, "--noheader", "--Node", f"--format={form}"])


def parse_nodes(text: str) -> Capacity:
    """Totals over the nodes that can run jobs, each counted once however many partitions it is in."""
    rows = (line.split(SEPARATOR) for line in text.split("\n"))
    nodes = {
        row[0]: dict(zip((field.name for field in _NODES), row, strict=True)) for row in rows if len(row) == len(_NODES)
    }
    usable = [node for node in nodes.values() if not node["state"].lower().startswith(_GONE)]
    return Capacity(
        nodes=len(usable),
        cpus=sum(_number(node["cpus"]) for node in usable),
        memory_mib=sum(_number(node["memory_mib"]) for node in usable),
        gpus=sum(_gpus(node["gres"]) for node in usable),
    )


def _number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match.group()) if match else 0


def _gpus(gres: str) -> int:
    """`gpu:a100:2(S:0-1),gpu:t4:1,shard:8` -> 3."""
    without_sockets = re.sub(r"\([^)]*\)", "", gres)
    counts = (re.fullmatch(r"gpu(?::[^:]+)?:(\d+)", item) for item in without_sockets.split(","))
    return sum(int(count.group(1)) for count in counts if count)
