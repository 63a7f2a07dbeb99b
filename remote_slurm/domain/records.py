"""The records that the runner writes: one line for each container, the last one counts.

Only `record` in job/runner.sh writes them, and only `parse_records` here reads them; the login node's log.sh takes the
number of the run out of one. Decisions go by the phase, the numbers and the reason, which is a code. The message has
the container's own words, and is only shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum, StrEnum

from remote_slurm.domain.job_usage import JobUsage, parse_usage

# What the shell reports for SIGKILL, and Kubernetes for a container that was killed
SIGKILL = 9
KILLED = 128 + SIGKILL


class Reason(StrEnum):
    """The codes that the sidecar decides by; of others, such as CrashLoopBackOff, it only passes the word on.

    A container that ended after a stop from outside has JOB_STOPPED: Slurm knows why. One that ended by itself has
    COMPLETED or ERROR, and one that something else than the runner killed has none.
    """

    COMPLETED = "Completed"
    CRASH_LOOP = "CrashLoopBackOff"
    ERROR = "Error"
    JOB_STOPPED = "JobStopped"
    NOT_READY = "NotReady"
    NOT_STARTED = "NotStarted"
    START_ERROR = "StartError"


class ContainerPhase(Enum):
    """As runner.sh spells them. A container that waits may well run: it is not ready then."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the run of a container ended that was before the present one."""

    started: int
    finished: int
    exit_code: int
    signal: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """The state of a container. Times are in seconds since 1970 by the node's clock; 0 is none.

    `run` is how often Slurm had requeued the job before this run of it (SLURM_RESTART_COUNT in sbatch(1)). `number`
    counts the records of one container in one run of the job, and `restarts` how often the runner started it again.
    `reason` is the code for why it waits, or how it ended. `usage` is what the job had used when it ended. `node` is
    Slurm's name of the node. Runners of earlier versions write less: see `parse_records`.
    """

    pod: str
    container: str
    phase: ContainerPhase
    started: int
    finished: int
    exit_code: int
    signal: int
    message: str = ""
    run: int = 0
    number: int = 0
    restarts: int = 0
    reason: str = ""
    last: LastRun | None = None
    usage: JobUsage | None = None
    node: str = ""

    @property
    def has_run(self) -> bool:
        """Whether the container has started in this run of the job: job/runner.sh agrees."""
        if self.phase is ContainerPhase.WAITING:
            return self.reason in (Reason.NOT_READY, Reason.CRASH_LOOP)
        return self.started > 0

    @property
    def began(self) -> int:
        """When it started, or when the runner gave up starting it."""
        return self.started or self.finished


def run_before_requeue(record: Record | None) -> LastRun | None:
    """How the run ended that this was the last record of before Slurm requeued the job; as recall_earlier_run.

    That function of job/runner.sh does the same in the job.
    """
    if record is None:
        return None
    if record.phase is ContainerPhase.RUNNING or record.reason == Reason.NOT_READY:
        return LastRun(record.started, 0, KILLED, SIGKILL, "how it ended was not recorded")
    if record.phase is ContainerPhase.WAITING or not record.has_run:
        return record.last
    message = record.message
    if record.reason == Reason.JOB_STOPPED:
        message += ": Slurm has requeued the job"  # Slurm reports nothing else of a job that it runs again
    return LastRun(record.started, record.finished, record.exit_code, record.signal, message)


def parse_records(text: str) -> list[Record]:
    """Lines that are no records are left out: a half-written or foreign file must not stop the others."""
    *lines, _cut_off = text.split("\n")
    return [_of_version_before(_record(found)) for line in lines if (found := _LINE.fullmatch(line))]


# ten digits are a time that every part of this can express, until the year 2286
_END = "[0-9]{1,10}%s[0-9]{1,10}%s[0-9]{1,3}%s[0-9]{1,3}"
_LINE = re.compile(
    rf"v1 (\S+) (\S+) ({'|'.join(phase.value for phase in ContainerPhase)})"
    rf" ({_END.replace('%s', ' ')})(?: run=([0-9]{{1,6}}))?"
    r"(?: record=([0-9]{1,9}) restarts=([0-9]{1,6})(?: reason=([A-Za-z]+))?"
    rf"(?: last=({_END.replace('%s', ',')}))?)?"
    r"(?: (.*))?"
)
_NODE = re.compile("[A-Za-z0-9._-]{1,255}")
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t"}


def _record(found: re.Match[str]) -> Record:
    pod, container, phase, end, run, number, restarts, reason, last, message = found.groups(default="")
    # records without numbers have messages that are not escaped
    own, last_message, usage, node, *_ = (*message.split("\t"), "", "", "") if number else (message, "", "", "")
    return Record(
        pod,
        container,
        ContainerPhase(phase),
        *_numbers(end, " "),
        message=(_unescaped(own) if number else own).strip(),
        run=int(run or 0),
        number=int(number or 0),
        restarts=int(restarts or 0),
        reason=reason,
        last=LastRun(*_numbers(last, ","), _unescaped(last_message)) if last else None,
        usage=parse_usage(usage),
        node=node if _NODE.fullmatch(node) else "",
    )


# The text of messages in records of versions that had no codes
_NOT_STARTED_BEFORE = "not started: "
_STOPPED_BEFORE = "the job was told to stop"


def _of_version_before(record: Record) -> Record:
    """A record with the codes of today.

    The runner of a job that was submitted by the version before, which may run for weeks, writes no reason for an end,
    except Unhealthy. Today's writes one, except for a container that something else killed (SIGKILL), of which nothing
    is read here.
    """
    if record.phase is not ContainerPhase.TERMINATED or record.reason:
        return record
    if record.signal == SIGKILL:
        # in records without numbers, only the message shows that the runner killed the container
        on_purpose = record.message and not record.number and not record.message.endswith(_STOPPED_BEFORE)
        return replace(record, reason=Reason.ERROR) if on_purpose else record
    own = Reason.ERROR if record.exit_code else Reason.COMPLETED
    if record.exit_code == 1 and not record.signal and record.message.startswith(_NOT_STARTED_BEFORE):
        record, own = replace(record, started=0), Reason.NOT_STARTED
    return replace(record, reason=Reason.JOB_STOPPED if record.message.endswith(_STOPPED_BEFORE) else own)


def _numbers(text: str, separator: str) -> tuple[int, int, int, int]:
    started, finished, exit_code, signal = (int(number) for number in text.split(separator))
    return started, finished, exit_code, signal


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)
