"""What the sidecar knows of each pod, in memory; the pods' folders at the site are the record of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from remote_slurm.domain.apart import Standing, parse_comment
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm import Job, JobState, Phase
from remote_slurm.domain.view import SUBMITTING, PodView
from remote_slurm.remote.site import Place


@dataclass(slots=True, eq=False)
class Entry:
    """One pod: its job, the latest record of each container, and how sure we are.

    `run` is how many runs of the job are over since Slurm requeued it: their records do not count any more.
    """

    pod: str
    name: str = ""
    expected: frozenset[str] = frozenset()  # the names of its containers, once a request has told them
    job: Job | None = None
    records: dict[str, Record] = field(default_factory=dict)
    before: dict[str, Record] = field(default_factory=dict)  # the last ones of earlier runs
    run: int = 0
    waits_again: bool = False  # its job was seen running, and then waiting
    settled: bool = False
    failure: str = ""
    waiting: str = ""
    waiting_reason: str = SUBMITTING
    remembered: bool = False  # by the Virtual Kubelet alone: the site has lost its folder
    stored: bool = False  # its files are safe at the site, so the submission goes on whatever happens here
    deleted: bool = False
    outlives_folder: bool = (
        False  # how it ended is told until Kubernetes deletes it, although nothing is left at the site
    )
    missing_since: float | None = None  # when a good squeue first lacked its job
    missing_polls: int = 0
    ended_since: float | None = None  # when its job was first seen ended
    standing: Standing | None = None  # what its job's comment tells, where no file system is shared
    fetched: bool = False  # its logs were brought from the node
    since: float = field(default_factory=time.time)  # when this process first heard of it
    _over: asyncio.Event | None = None

    def view(self) -> PodView:
        return PodView(
            self.job,
            dict(self.records),
            self.settled,
            self.failure,
            self.waiting,
            self.run,
            self.waiting_reason,
            dict(self.before),
        )

    @property
    def is_told(self) -> bool:
        """Whether its status is told: of what only Kubernetes remembers there is nothing to add, until it is over."""
        kept_by_us = not self.remembered or bool(self.records) or self.is_over
        return kept_by_us and self.view().is_known

    @property
    def over(self) -> asyncio.Event:
        """Set once nothing more will come; made for the first who waits, since few do and there are many pods."""
        if self._over is None:
            self._over = asyncio.Event()
            self._tell_if_over()
        return self._over

    def _tell_if_over(self) -> None:
        if self._over is not None and self.is_over:
            self._over.set()

    @property
    def job_id(self) -> str:
        return self.job.id if self.job else ""

    @property
    def on_node(self) -> Place | None:
        """Where its logs lie, as long as no file system at the login node has them."""
        running = self.job is not None and self.job.state.phase is Phase.RUNNING
        if self.standing is None or not self.standing.folder or self.fetched or not running:
            return None
        return Place(self.job_id, self.standing.folder)

    def has_job(self, job_id: str) -> None:
        """Note the job's id; how it stands, the next poll tells."""
        if self.job_id != job_id:
            self.job = Job(job_id, JobState.PENDING, pod=self.pod)
        self.waiting = ""

    def waits(self, reason: str, message: str) -> None:
        """There is no job yet: in a word and in a sentence, why."""
        self.waiting_reason, self.waiting = reason, message

    def see(self, job: Job) -> None:
        """Take what Slurm says of the pod's job; an unknown state keeps the last one."""
        if self.job is not None and self.job.id != job.id:
            return  # a second job of the pod: the fence has ended it, or will
        self.missing_since, self.missing_polls = None, 0
        if job is self.job or (job.state.phase is Phase.UNKNOWN and self.job is not None):
            return
        before, self.job = self.job, job
        self._take_comment(job)
        if job.state.phase is not Phase.ENDED:
            self.ended_since = None
        if job.state.phase is not Phase.WAITING:
            self.waits_again = False
        elif before is not None and before.state.phase in (Phase.RUNNING, Phase.ENDED):
            self.waits_again = True

    def is_accounted(self, job: Job) -> None:
        """Take what the accounting says of the pod's job, once squeue has forgotten it."""
        self.job = replace(job, pod=self.pod)
        self._take_comment(job)

    def _take_comment(self, job: Job) -> None:
        standing = parse_comment(self.pod, job.comment)
        if standing is None:
            return
        for record in standing.records:
            self.take(record)
        of_this_run = all(record.run == self.run for record in standing.records)
        if job.state.phase is not Phase.WAITING and of_this_run:
            self._stands(standing)
        elif standing.records and of_this_run:
            # a job that has not begun tells nothing: this is of the run before Slurm requeued it
            self.begin_run(self.run + 1)

    def _stands(self, standing: Standing) -> None:
        self.standing = standing
        if standing.failure:
            self.fail(f"job {self.job_id}: {standing.failure}")

    def take(self, record: Record) -> None:
        """Keep the latest: one look may bring an older record again, and one of an earlier run."""
        if record.run > self.run:
            self.begin_run(record.run)
        _keep_latest(self.records if record.run == self.run else self.before, record)

    def begin_run(self, run: int) -> None:
        """What was recorded of earlier runs only tells how these ended."""
        self.run = run
        self.fetched, self.standing = False, None
        for record in self.records.values():
            _keep_latest(self.before, record)
        self.records.clear()

    def fail(self, reason: str) -> None:
        """There is no job, and will be none."""
        self.failure = reason
        self._tell_if_over()

    def settle(self) -> None:
        """The job has ended and its last records were read: nothing more will come."""
        self.settled = True
        self._tell_if_over()

    @property
    def is_complete(self) -> bool:
        """Whether each of its containers has a record of its end."""
        ended = {name for name, record in self.records.items() if record.phase is ContainerPhase.TERMINATED}
        return bool(self.expected) and self.expected <= ended

    @property
    def is_over(self) -> bool:
        return self.settled or bool(self.failure)


def _keep_latest(records: dict[str, Record], record: Record) -> None:
    known = records.get(record.container)
    if known is None or _order(record) > _order(known) or _says_more(record, known):
        records[record.container] = record


def _order(record: Record) -> tuple[int, int, int, bool, int]:
    return record.run, record.number, record.started, record.phase is ContainerPhase.TERMINATED, record.finished


def _says_more(record: Record, known: Record) -> bool:
    """The same record may come again with the end of its message cut off: see job/apart.sh."""
    is_cut = known.message.startswith(record.message) and (known.last is not None or record.last is None)
    return _order(record) == _order(known) and not is_cut


class Entries:
    """All pods that are known, by the name of their folder at the site."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, pod: str) -> Entry | None:
        return self._entries.get(pod)

    def add(self, pod: str, name: str = "") -> Entry:
        """The pod's entry, made where there is none."""
        entry = self._entries.setdefault(pod, Entry(pod))
        entry.name = name or entry.name or pod
        return entry

    def forget(self, pod: str) -> None:
        entry = self._entries.pop(pod, None)
        if entry is not None:
            entry.over.set()

    def take(self, records: Iterable[Record]) -> None:
        for record in records:
            entry = self._entries.get(record.pod)
            if entry is not None:
                entry.take(record)
