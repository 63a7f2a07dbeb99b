"""How many pods stand how, from memory: for those who watch, and never asks the site."""

from __future__ import annotations

from collections import Counter

from remote_slurm.domain.reasons import pending_sentence
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm import JobState, Phase
from remote_slurm.service.entries import Entries, Entry
from remote_slurm.service.overview import state_and_reason

# Slurm's word for what our own sentence says better
_NON_ZERO = "NonZeroExitCode"


def standing(entry: Entry) -> tuple[str, str]:
    """State and reason of one pod, in the words of `remote-slurm status`."""
    return state_and_reason(entry.job, entry, _records(entry))


def phase(entry: Entry) -> str:
    """How the pod stands, in one of six words: waiting, running, ending, succeeded, failed, unknown."""
    of_job = entry.job.state.phase if entry.job else Phase.WAITING
    if entry.failure:
        return "failed"
    if entry.is_over or of_job is Phase.ENDED:
        return _end_phase(entry)
    if entry.deleted:
        return "ending"
    return {Phase.WAITING: "waiting", Phase.RUNNING: "running"}.get(of_job, "unknown")


def reason(entry: Entry) -> str:
    """Why it stands like that, in a sentence where there is one."""
    if entry.job is not None and entry.job.state.phase is Phase.WAITING and not entry.failure:
        return pending_sentence(entry.job) or entry.waiting
    failed = [_end(record) for record in _records(entry) if record and record.exit_code]
    word = standing(entry)[1]
    return "; ".join([*([word] if word and not (failed and word == _NON_ZERO) else []), *failed])


def _records(entry: Entry) -> list[Record | None]:
    return [entry.records.get(name) for name in sorted(entry.expected or entry.records)]


def _end_phase(entry: Entry) -> str:
    """The last records of a job that has just ended may still be on their way."""
    records = _records(entry)
    good = entry.job is None or entry.job.state in (JobState.COMPLETED, JobState.UNKNOWN)
    if not good or any(record and record.exit_code for record in records):
        return "failed"
    if records and all(record and record.phase is ContainerPhase.TERMINATED for record in records):
        return "succeeded"
    return "failed" if entry.is_over else "ending"


def _end(record: Record) -> str:
    sentence = f"{record.container} ended with exit code {record.exit_code}"
    return f"{sentence}: {record.message}" if record.message else sentence


def states(entries: Entries) -> Counter[str]:
    """State -> how many pods."""
    return Counter(standing(entry)[0] for entry in entries)
