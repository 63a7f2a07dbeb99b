"""One pod with a job, a site that answers what a test has put there, and the poller that looks at it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pods import Json, key, pod, sh

from remote_slurm.domain.pod import parse_pod
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.domain.status import pod_status, reported_names
from remote_slurm.errors import RemoteFailed, SiteError
from remote_slurm.remote.site import Queue, Released, Settled, Wanted
from remote_slurm.service.entries import Entries
from remote_slurm.service.poller import Poller

DISABLED = RemoteFailed("sacct failed: Slurm accounting storage is disabled")
LONG_AGO = 1_700_000_000


@dataclass
class FakeSite:
    """Answers with what the test has put there; an error is raised."""

    jobs: tuple[Job, ...] = ()
    spool: list[Record] = field(default_factory=list)
    folder: list[Record] = field(default_factory=list)
    sacct: list[Job] | SiteError = DISABLED
    squeue: SiteError | None = None
    fails: dict[str, SiteError] = field(default_factory=dict)  # other questions by name
    asked: int = 0  # how often the accounting was
    shared_fs: bool = True
    unreleased: str = ""  # why none of them could be
    held: list[tuple[str, Wanted]] = field(default_factory=list)  # jobs that were to be released, if they are wanted

    async def queue(self) -> Queue:
        if self.squeue:
            raise self.squeue
        return Queue(self.jobs, 0)

    async def records(self) -> list[Record]:
        self._may_fail("records")
        taken, self.spool = self.spool, []
        return taken

    async def settle(self, pods: Iterable[str]) -> Settled:
        self._may_fail("settle")
        asked = set(pods)
        return Settled(tuple(record for record in self.folder if record.pod in asked), frozenset())

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        self.asked += 1
        if isinstance(self.sacct, SiteError):
            raise self.sacct
        asked = set(job_ids)
        return [job for job in self.sacct if job.id in asked]

    async def release(self, jobs: Iterable[tuple[str, str, Wanted]]) -> Released:
        self._may_fail("release")
        asked = list(jobs)
        self.held += [(job_id, wanted) for _, job_id, wanted in asked]
        return Released(
            frozenset() if self.unreleased else frozenset(job_id for _, job_id, _ in asked), self.unreleased
        )

    def _may_fail(self, question: str) -> None:
        if error := self.fails.get(question):
            raise error


class Watched:
    """A pod with job 7, which squeue shows as running; its poller's clock stands still between polls."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.body: Json = pod(sh("c", "true"))
        self.job = Job("7", JobState.RUNNING, pod=key(self.body))
        self.site = FakeSite((self.job,))
        self.entries = Entries()
        self.entry = self.entries.add(key(self.body))
        self.entry.expected = reported_names(parse_pod(self.body, "a test"))
        self.entry.has_job("7")
        self.poller = Poller(self.site, self.entries, 10, lambda: self.now)  # type: ignore[arg-type]

    def record(self, phase: ContainerPhase, code: int = 0, number: int = 0) -> Record:
        return Record(key(self.body), "c", phase, LONG_AGO, LONG_AGO, code, 0, number=number)

    def is_shown(self, state: JobState) -> None:
        self.site.jobs = (replace(self.job, state=state),)

    def is_forgotten(self) -> None:
        self.site.jobs = ()

    async def poll(self, seconds: float = 10) -> dict[str, Any]:
        """How its container stands so long after the last look."""
        self.now += seconds
        await self.poller.poll()
        state: dict[str, Any] = pod_status(parse_pod(self.body, "a test"), self.entry.view())["containers"][0]["state"]
        return state

    async def exit_code(self, seconds: float = 10) -> int | None:
        """None where it has not ended."""
        state = await self.poll(seconds)
        return state["terminated"]["exitCode"] if "terminated" in state else None
