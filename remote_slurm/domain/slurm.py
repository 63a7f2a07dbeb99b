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
    """Every state that squeue and sacct print, Slurm 20.11 to 25.05 (JOB STATE CODES in squeue(1) and sacct(1))."""

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
    REVOKED = "REVOKED", Phase.ENDED
    TIMEOUT = "TIMEOUT", Phase.ENDED
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
    """

    id: str
    state: JobState
    reason: str = ""
    pod: str = ""
    start: int | None = None
    comment: str = ""
    node: str = ""
    exit_code: int | None = None


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
    _Field("%o", "command"),
)


def queue_command(squeue: str, *, comments: bool = False) -> str:
    """All jobs of this account, ended ones too for as long as slurmctld remembers them (MinJobAge)."""
    form = SEPARATOR.join(field.code for field in (*_QUEUE, *([_COMMENT] if comments else [])))
    return words([squeue, "--me", "--noheader", "--states=all", f"--format={form}"])


# Behind the command, which ends with the name of our script
_COMMENT = _Field("%k", "comment")
_BEFORE_COMMENT = f"/job.sh{SEPARATOR}"


def active_command(squeue: str) -> str:
    """This account's jobs that are not over: id, state and command."""
    return words([squeue, "--me", "--noheader", "--format=%A|%T|%o"])


def parse_job(line: str, root: str) -> Job | None:
    """A line of squeue; None where the batch script is not below `root`, the DataRootFolder as the site spells it."""
    row = line.split(SEPARATOR, len(_QUEUE) - 1)
    if len(row) != len(_QUEUE):
        return None
    job_id, state, reason, start, node, rest = row
    command, script, comment = rest.partition(_BEFORE_COMMENT)
    pod = pod_of_script(command + script.removesuffix(SEPARATOR), root)
    if not job_id.isdigit() or not pod:
        return None
    node = "" if node == "n/a" else node
    return Job(job_id, JobState.parse(state), reason, pod, _seconds(start), comment, node)


def parse_queue(text: str, root: str) -> list[Job]:
    """The jobs whose batch script lies below `root`: others are not ours."""
    return [job for line in text.split("\n") if (job := parse_job(line, root))]


def _seconds(text: str) -> int | None:
    """SLURM_TIME_FORMAT=%s gives seconds; `N/A` is what Slurm cannot say."""
    return int(text) if text.isdigit() else None


def pod_of_script(path: str, root: str) -> str:
    """`<root>/<pod>/job.sh` -> the pod's name, or nothing."""
    folder, _, script = path.strip().rpartition("/")
    above, _, pod = folder.rpartition("/")
    return pod if script == "job.sh" and above == root else ""


_ACCOUNT = ("JobIDRaw", "State", "ExitCode")


def accounting_command(sacct: str, job_ids: Iterable[str], *, comments: bool = False) -> str:
    """One line for each job, without its steps.

    A comment is there only with AccountingStoreFlags=job_comment (slurm.conf(5)), and may hold the separator.
    """
    fields = ",".join((*_ACCOUNT, *(["Comment"] if comments else [])))
    ids = ",".join(job_ids)
    return words([sacct, "--noheader", "--parsable2", "--allocations", f"--jobs={ids}", f"--format={fields}"])


def parse_accounting(text: str) -> list[Job]:
    """How each job ended, by its id: the accounting does not know the pod."""
    rows = (line.split(SEPARATOR, len(_ACCOUNT)) for line in text.split("\n"))
    return [_accounted(*row) for row in rows if len(row) >= len(_ACCOUNT) and row[0].isdigit()]


def _accounted(job_id: str, state: str, code: str, comment: str = "") -> Job:
    """`7:0` is an exit code, `0:9` a signal (ExitCode in sacct(1))."""
    number, _, signal = code.partition(":")
    exit_code = int(number) if number.isdigit() and signal == "0" else None
    return Job(job_id, JobState.parse(state), comment=comment, exit_code=exit_code)


def step_command(srun: str, job_id: str) -> str:
    """What runs a line of shell, which is to follow as one word, beside what runs in the job (--overlap: 20.11).

    On the batch host, where its folder is, with nothing of its own. What it prints comes as it is: --unbuffered would
    give it a terminal.
    """
    options = ["--overlap", "--quiet", "--nodes=1", "--ntasks=1", "--relative=0", "--mem=0"]
    return words([srun, f"--jobid={job_id}", *options, "--gres=none", "--chdir=/", "sh", "-c"])


# --- sbatch ----------------------------------------------------------------------------------------------------------


class Refusal(Enum):
    """What a failed sbatch means for the pod."""

    FOR_GOOD = auto()
    FOR_NOW = auto()
    NOT_SENT = auto()
    UNKNOWN = auto()


# slurmctld was not even reached, so it has not accepted anything: it, munged or the source of a configuration is down
# (seen with 24.11: sbatch gives up after MessageTimeout), or none of the controllers is in charge
_NOT_SENT = ("(connect failure)", "Munge encode failed", "Could not establish a configuration source", "standby mode")
# Slurm's own sentences (slurm_errno.c); the job may have been accepted although sbatch says it failed
_UNKNOWN = ("Socket timed out", "Unable to contact slurm controller", "Zero Bytes were transmitted",
            "Connection reset", "Unexpected message received", "Communication connection failure",
            "Transport endpoint", "Protocol authentication error")  # fmt: skip
# limits that pass, of an association, a QOS or the whole cluster. They come before the sentence "Job violates
# accounting/QOS policy", which is said for limits that never pass as well.
_FOR_NOW = ("QOSMaxSubmitJobPerUserLimit", "AssocMaxSubmitJobLimit", "MaxSubmitJob", "GrpSubmitJob",
            "temporarily unable", "Resource temporarily unavailable", "Slurm temporarily", "Too many jobs",
            "rate limit")  # fmt: skip


# It goes into a pod's status, each time that is asked for
_LONGEST_WORDS = 1000


def classify_refusal(message: str) -> Refusal:
    """By Slurm's words: its exit code is 1 for all of them."""
    lower = message.lower()
    if any(words.lower() in lower for words in _NOT_SENT):
        return Refusal.NOT_SENT
    if any(words.lower() in lower for words in _UNKNOWN):
        return Refusal.UNKNOWN
    if any(words.lower() in lower for words in _FOR_NOW):
        return Refusal.FOR_NOW
    return Refusal.FOR_GOOD


def slurm_words(stderr: str) -> str:
    """What sbatch said, on one line and without its prefixes."""
    lines = (re.sub(r"^sbatch: (error: )?", "", line.strip()) for line in stderr.split("\n"))
    return "; ".join(line for line in lines if line)


def shortened(words: str) -> str:
    """The beginning, and the end, where sbatch's own reason stands: a site's plugins may say pages before it."""
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
