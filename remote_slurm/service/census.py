"""How many pods stand how, from memory: for those who watch, and never asks the site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from remote_slurm.domain.slurm import Job, Phase
from remote_slurm.service.entries import Entries, Entry
from remote_slurm.service.overview import state_and_reason


def standing(entry: Entry) -> tuple[str, str]:
    """State and reason of one pod, in the words of `remote-slurm status`."""
    records = [entry.records.get(name) for name in entry.expected or entry.records]
    return state_and_reason(entry.job, entry, records)


def states(entries: Entries) -> Counter[str]:
    """State -> how many pods."""
    return Counter(standing(entry)[0] for entry in entries)


def orphans(jobs: Iterable[Job], entries: Entries, deleted: Iterable[str]) -> list[Job]:
    """Jobs below DataRootFolder that are not over and belong to no pod that is known here, nor to one being deleted."""
    gone = set(deleted)
    return [
        job
        for job in jobs
        if job.pod not in gone and job.state.phase is not Phase.ENDED and entries.get(job.pod) is None
    ]
