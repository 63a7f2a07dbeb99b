"""One pod with a job, a site that answers what a test has put there, and the poller that looks at it."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_status import pod_status, reported_names
from remote_slurm.errors import Code, RemoteFailed, SiteError
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import Poller
from remote_slurm.site.operations.inspect_pods import Inspection
from remote_slurm.site.operations.queue import Queue
from remote_slurm.site.operations.release import Released, ReleaseDecision
from tests.fake_site import FakeSite
from tests.pods import Json, key, pod, sh

DISABLED = RemoteFailed("sacct failed: Slurm accounting storage is disabled", code=Code.ACCOUNTING_DISABLED)
LONG_AGO = 1_700_000_000


class ScriptedSite(FakeSite):
    """Replies to a poll with what the test has put there; an error is raised."""

    def __init__(self, *jobs: Job, origin: str = "") -> None:
        super().__init__()
        self.jobs = jobs
        self.spool: list[Record] = []
        self.folder: list[Record] = []
        self.fences: dict[str, str] = {}
        self.others: dict[str, Job] = {}
        self.clock_offset = 0.0
        self.output = ""  # the output file of each job that runs a copy
        self.origin = origin  # the command line of sbatch that the accounting shows
        self.sacct: list[Job] | SiteError = DISABLED
        self.fails: dict[str, SiteError] = {}  # by operation
        self.unreleased = ""  # why job 7, which is held, cannot be released
        self.ended: list[list[str]] = []  # pods whose secrets were to be removed, by each call
        self.released: list[tuple[str, ReleaseDecision]] = []

    async def queue(self) -> Queue:
        self._may_fail("queue")
        return Queue(self.jobs, self.clock_offset, self.others)

    async def records(self, ended: Iterable[str] = (), *, early: bool = False) -> list[Record]:  # noqa: ARG002 - the same here
        self._may_fail("records")
        self.ended.append(list(ended))
        taken, self.spool = self.spool, []
        return taken

    async def inspect_pods(self, pods: Iterable[str]) -> Inspection:
        self._may_fail("inspect_pods")
        asked = set(pods)
        return Inspection(tuple(record for record in self.folder if record.pod in asked), self.fences)

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        self.asked["accounting"] += 1
        await asyncio.sleep(0)
        if isinstance(self.sacct, SiteError):
            raise self.sacct
        asked = set(job_ids)
        return [job if job.origin else replace(job, origin=self.origin) for job in self.sacct if job.id in asked]

    async def outputs(self, job_ids: Iterable[str]) -> dict[str, str]:
        return dict.fromkeys(job_ids, self.output)

    async def release(self, jobs: Iterable[tuple[str, str, ReleaseDecision]]) -> Released:
        self._may_fail("release")
        asked = [(job_id, decision) for _, job_id, decision in jobs]
        self.released += asked
        done = frozenset() if self.unreleased else frozenset(job_id for job_id, _ in asked)
        return Released(done, "7", self.unreleased) if self.unreleased else Released(done)

    def _may_fail(self, operation: str) -> None:
        if error := self.fails.get(operation):
            raise error


class Watched:
    """A pod with job 7, which squeue shows as running; its poller's clock does not move between polls."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.body: Json = pod(sh("c", "true"))
        self.job = Job("7", JobState.RUNNING, pod=key(self.body))
        self.site = ScriptedSite(self.job, origin=f"sbatch /r/{key(self.body)}/job.sh")
        self.pod_store = PodStore()
        self.tracked = self.pod_store.add(key(self.body))
        self.tracked.container_names = reported_names(parse_pod(self.body, "a test"))
        self.tracked.set_job_id("7")
        self.poller = Poller(self.site, self.pod_store, 10, lambda: self.now)

    def record(self, phase: ContainerPhase, code: int = 0, number: int = 0) -> Record:
        return Record(key(self.body), "c", phase, LONG_AGO, LONG_AGO, code, 0, number=number)

    def is_shown(self, state: JobState) -> None:
        self.site.jobs = (replace(self.job, state=state),)

    def is_forgotten(self) -> None:
        self.site.jobs = ()

    async def poll(self, seconds: float = 10) -> dict[str, Any]:
        """The state of its container so long after the last check."""
        self.now += seconds
        await self.poller.poll()
        state: dict[str, Any] = pod_status(parse_pod(self.body, "a test"), self.tracked.view())["containers"][0][
            "state"
        ]
        return state

    async def exit_code(self, seconds: float = 10) -> int | None:
        """None where it has not ended."""
        state = await self.poll(seconds)
        return state["terminated"]["exitCode"] if "terminated" in state else None
