"""The records that runner.sh writes: one line for each container, the last one counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum

# What the shell reports for SIGKILL, and Kubernetes for a container that was killed
SIGKILL = 9
KILLED = 128 + SIGKILL

# What runner.sh records of a container that runs, and is not ready
NOT_READY = "NotReady"

# How the message begins that runner.sh records of a container that has never run
NOT_STARTED = "not started"

# What runner.sh records of a container that ended after its job had been told to stop
STOPPED = "the job was told to stop"


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
    """How a container stands; times in seconds since 1970 by the node's clock, 0 is none.

    `run` is how often Slurm had requeued the job before this run of it (SLURM_RESTART_COUNT in sbatch(1)). `number`
    counts the records of one container in one run of the job, and `restarts` how often the runner started it again.
    `reason` is the word for why it waits. Runners of earlier versions tell none of these.
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


def run_before_requeue(record: Record | None) -> LastRun | None:
    """How the run ended that this was the last record of before Slurm requeued the job: job/restarts.sh agrees."""
    if record is None:
        return None
    if record.phase is ContainerPhase.RUNNING or record.reason == NOT_READY:
        return LastRun(record.started, 0, KILLED, SIGKILL, "how it ended was not recorded")
    if record.phase is ContainerPhase.WAITING or record.message.startswith(f"{NOT_STARTED}:"):
        return record.last and replace(record.last, message=_requeued(record.last.message))
    return LastRun(record.started, record.finished, record.exit_code, record.signal, _requeued(record.message))


def _requeued(message: str) -> str:
    """Slurm tells in which way a job was stopped, and of one that it runs again it does not."""
    if not message.endswith(STOPPED):
        return message
    return f"{message.removesuffix(STOPPED)}Slurm has requeued the job"


def parse_records(text: str) -> list[Record]:
    """Lines that are no records are left out: a half-written or foreign file must not stop the others."""
    *lines, _cut_off = text.split("\n")
    return [_record(found) for line in lines if (found := _LINE.fullmatch(line))]


# ten digits are a time that every part of this can express, until the year 2286
_END = "[0-9]{1,10}%s[0-9]{1,10}%s[0-9]{1,3}%s[0-9]{1,3}"
_LINE = re.compile(
    rf"v1 (\S+) (\S+) ({'|'.join(phase.value for phase in ContainerPhase)})"
    rf" ({_END.replace('%s', ' ')})(?: run=([0-9]{{1,6}}))?"
    rf"(?: record=([0-9]{{1,9}}) restarts=([0-9]{{1,6}})(?: reason=(\w+))?(?: last=({_END.replace('%s', ',')}))?)?"
    r"(?: (.*))?"
)
_ESCAPED = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t"}


def _record(found: re.Match[str]) -> Record:
    pod, container, phase, end, run, number, restarts, reason, last, message = found.groups(default="")
    # messages were told as they are before there were numbers
    told, _, told_last = message.partition("\t") if number else (message, "", "")
    return Record(
        pod,
        container,
        ContainerPhase(phase),
        *_numbers(end, " "),
        message=(_unescaped(told) if number else told).strip(),
        run=int(run or 0),
        number=int(number or 0),
        restarts=int(restarts or 0),
        reason=reason,
        last=LastRun(*_numbers(last, ","), _unescaped(told_last)) if last else None,
    )


def _numbers(text: str, separator: str) -> tuple[int, int, int, int]:
    started, finished, exit_code, signal = (int(number) for number in text.split(separator))
    return started, finished, exit_code, signal


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1], found[1]), text)
