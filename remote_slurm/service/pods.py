"""Create, status, logs and delete: what interLink asks, answered from memory where it can be."""

from __future__ import annotations

import asyncio
import copy
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.annotations import flags_note
from remote_slurm.domain.logs import LogSlice
from remote_slurm.domain.payload import Payload
from remote_slurm.domain.plan import plan_job
from remote_slurm.domain.pod import CreateRequest, Pod
from remote_slurm.domain.script import payload
from remote_slurm.domain.shell import quote
from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.domain.status import pod_status, reported_names
from remote_slurm.errors import NotSent, OutcomeUnknown, Rejected, SiteError, SubmissionRefused, Superseded
from remote_slurm.events import event, warn
from remote_slurm.job import SCRIPTS
from remote_slurm.remote.listing import listing
from remote_slurm.remote.session import Line
from remote_slurm.remote.site import Site
from remote_slurm.service import census
from remote_slurm.service.bursts import Bursts
from remote_slurm.service.capacity import CapacityWatch
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.entries import Entries, Entry
from remote_slurm.service.journal import Delete, Journal
from remote_slurm.service.kubernetes import Kubernetes
from remote_slurm.service.logs import Logs
from remote_slurm.service.lookout import Lookout
from remote_slurm.service.orphans import GRACE_SECONDS, LOOK_SECONDS, Orphans
from remote_slurm.service.overview import address, by_pod, looked, summary
from remote_slurm.service.poller import Poller
from remote_slurm.service.pull_secrets import with_pull_secrets
from remote_slurm.service.retention import Retention
from remote_slurm.service.submission import Patience, Submitter, Submitting, passes, recall
from remote_slurm.service.turns import Turns

RECOVERY_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Created:
    """`job_id` is empty where the submission goes on in the background."""

    pod_uid: str
    job_id: str


class Pods:
    """All pods of one site."""

    def __init__(
        self,
        site: Site,
        config: Config,
        journal: Journal,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
        kubernetes: Kubernetes | None = None,
    ) -> None:
        self._site = site
        self._kubernetes = kubernetes or Kubernetes(None)
        self._config = config
        self._entries = Entries()
        self._submissions: dict[str, tuple[Submitting, asyncio.Task[None]]] = {}
        self._bursts = Bursts()
        self._turns = Turns()
        self._background: list[asyncio.Task[None]] = []
        self.recovered = False  # whether the site's pods are known
        self._asked = asyncio.Event()  # of an attempt to learn them: set when it has ended, and then replaced
        self._obstacle: SiteError | None = None  # why the last one failed
        self.superseded: Superseded | None = None  # why nothing is written any more
        self._uid: int | None = None  # the account's own
        self.adopted = 0  # jobs that were found at the site at the start
        self._logs = Logs(site, self._entries)
        self.poller = Poller(site, self._entries, config.poll_interval, clock)
        self._submitter = Submitter(site, self.poller.returns, patience, clock)
        self.deletes = Deletes(site, self._entries, journal, clock)
        self._retention = Retention(self._entries, self.deletes, config.keep_finished)
        self.unasked = Orphans(self._entries, self.deletes, config.orphan_grace_period, clock)
        self.capacity = CapacityWatch(site, config, self.poller.returns)
        self.lookout = Lookout(site, self._entries, self.poller, config, self.unasked)

    # --- life ---

    def start(self) -> None:
        """Begin to look at the site, in the background: it need not be reachable."""
        self._background = [
            asyncio.create_task(_guarded(name, work), name=name)
            for name, work in (
                ("poller", self._recover_then_poll),
                ("deletes", self.deletes.run),
                ("orphans", self._watch_orphans),
                ("capacity", self.capacity.run),
                ("retention", self._retention.run),
                ("events", self._kubernetes.run),
                ("news", self._watch_news),
            )
        ]

    def end_followers(self) -> None:
        """Followers of logs see the end of what there is; they can ask again later."""
        self._logs.end_followers()

    async def stop(self) -> None:
        """End everything of ours; jobs go on, and the next start finds them."""
        tasks = [*self._background, *(task for _, task in self._submissions.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lookout.stop()
        await self.poller.fetching.stop()

    async def _recover_then_poll(self) -> None:
        while not self.recovered:
            self._obstacle = await self._recover_once()
            self._asked.set()
            self._asked = asyncio.Event()
            if self._obstacle:
                self.poller.unreachable(self._obstacle)
                await asyncio.sleep(RECOVERY_RETRY_SECONDS)
        try:
            await self.poller.run()
        except Superseded as error:
            await self._rest(error)

    async def _recover_once(self) -> SiteError | None:
        try:
            await self._recover()
        except SiteError as error:
            return error
        return None

    async def _watch_news(self) -> None:
        while True:
            self._kubernetes.notice(self._entries)
            await asyncio.sleep(self._config.poll_interval)

    async def _watch_orphans(self) -> None:
        while self.superseded is None:  # a newer sidecar is the one that is asked
            await self.unasked.look()
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.Event().wait()

    async def _rest(self, error: Superseded) -> None:
        """Answer from memory, and ask the site for nothing, as long as this process lives: the newer one does."""
        self.superseded = error
        warn(f"{error}: creates are refused, status is told from memory, and deletes are still carried out")
        while True:
            self.poller.unreachable(error)
            await asyncio.sleep(self._config.poll_interval)

    async def _recover(self) -> None:
        known = await self._site.recover()
        for pod in (known.pods | set(known.job_ids)) - known.deleted:
            entry = self._entries.add(pod)
            if pod in known.given_up:
                recall(entry)
            elif pod in known.job_ids:
                entry.has_job(known.job_ids[pod])
                self.adopted += 1
            elif pod in known.unfinished and pod not in self._submissions and pod not in self.deletes:
                entry.stored = True
                self._submit(entry, Payload())
        for pod in known.half_deleted:
            if pod not in self.deletes:  # by a sidecar whose journal is lost
                self.deletes.accept(Delete(pod, pod, GRACE_SECONDS))
        self._entries.take(known.records)
        self._uid = known.uid
        self._bursts.count(len(known.pods))  # they came at once, too
        self._bursts.count(len(self._submissions))
        self.recovered = True
        event("the site's pods are known", pods=len(self._entries))

    # --- create ---

    async def create(self, request: CreateRequest) -> Created:
        """Answers within a minute, as interLink needs it.

        What is at the site has to be known first. Raises Rejected, SubmissionRefused (both for good) or SiteError
        (nothing will run: a cancel is noted).
        """
        pod = request.pod
        until = asyncio.get_running_loop().time() + self._submitter.patience.create
        if self._entries.get(pod.key) is None:
            request = await self._kubernetes.completed(request, self._config)
        if not self.recovered:
            self._payload(request)  # what is wrong with the pod itself, no site needs to tell
            await self._until_recovered(pod, until)
        async with self._turns.turn():  # the first leave while others are rendered
            entry = self._entries.add(pod.key, pod.full_name)
            entry.expected = reported_names(pod)
            if entry.failure:
                raise SubmissionRefused(entry.failure)
            if entry.job_id:
                return Created(pod.metadata.uid, entry.job_id)
            submitting, task = self._begun(entry, request)
        return Created(pod.metadata.uid, await self._answer(pod, submitting, task, until))

    def _begun(self, entry: Entry, request: CreateRequest) -> tuple[Submitting, asyncio.Task[None]]:
        try:
            self._may_submit()
            return self._submissions.get(entry.pod) or self._submit(
                entry, self._payload(request), flags_note(request.pod)
            )
        except (Rejected, Superseded):
            self._entries.forget(entry.pod)
            raise

    def _may_submit(self) -> None:
        if self.superseded:
            raise copy.copy(self.superseded)

    async def _until_recovered(self, pod: Pod, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                while not self.recovered:
                    await self._asked.wait()
                    if self._obstacle and not passes(self._obstacle):
                        raise copy.copy(self._obstacle)
        except TimeoutError:
            self._take_back(pod)
            raise NotSent(f"the job of pod {pod.full_name} could not be submitted: {self.poller.error}") from None
        except SiteError:
            self._take_back(pod)
            raise

    def _payload(self, request: CreateRequest) -> Payload:
        plan = plan_job(with_pull_secrets(request, self._config), self._config)
        plan.refuse_other_user(self._uid)
        for warning in plan.warnings:
            warn(warning, pod=plan.full_name)
        return payload(plan, SCRIPTS, self._config)

    def _submit(self, entry: Entry, payload: Payload, note: str = "") -> tuple[Submitting, asyncio.Task[None]]:
        submitting = Submitting(entry, payload, note)
        task = asyncio.create_task(self._submitted(submitting), name=f"submit {entry.pod}")
        self._submissions[entry.pod] = submitting, task
        self._bursts.count(len(self._submissions))
        return submitting, task

    async def _submitted(self, submitting: Submitting) -> None:
        try:
            await self._submitter.submit(submitting)
            self.poller.look_soon()
        finally:
            self._submissions.pop(submitting.entry.pod, None)
            self._bursts.count(len(self._submissions))

    async def _answer(self, pod: Pod, submitting: Submitting, task: asyncio.Task[None], until: float) -> str:
        entry = submitting.entry
        try:
            async with asyncio.timeout_at(until):
                return await asyncio.shield(submitting.answer)
        except TimeoutError:
            if entry.stored:
                return ""
            task.cancel()
            self._take_back(pod)
            raise OutcomeUnknown(
                f"the job of pod {pod.full_name} could not be submitted in time: {entry.waiting or 'the site is slow'}"
            ) from None
        except (SubmissionRefused, Rejected, Superseded):
            self._entries.forget(entry.pod)
            raise
        except SiteError:
            self._take_back(pod)
            raise

    def _take_back(self, pod: Pod) -> None:
        """The pod fails for good in Kubernetes, so whatever became of its submission must not run."""
        self._entries.forget(pod.key)
        self.deletes.accept(_delete_of(pod))

    # --- status ---

    def status(self, pods: list[Pod]) -> list[dict[str, Any]]:
        """Of each pod that is known; one that is left out stays as Kubernetes has it, and is asked for again."""
        self.unasked.asked(pod.key for pod in pods)
        known = ((pod, entry) for pod in pods if (entry := self._known(pod)) is not None)
        return [pod_status(pod, entry.view()) for pod, entry in known if entry.is_told]

    def _known(self, pod: Pod) -> Entry | None:
        entry = self._entries.get(pod.key)
        if entry is None:
            entry = self._by_annotation(pod)
        if entry is not None and not entry.expected:
            entry.name, entry.expected = pod.full_name, reported_names(pod)
        return entry

    def _by_annotation(self, pod: Pod) -> Entry | None:
        """The Virtual Kubelet remembers the job id where the site has lost the pod's folder."""
        job_id = pod.metadata.annotations.get("JobID", "")
        if not self.recovered or not job_id.isdigit() or pod.key in self.deletes:
            return None
        entry = self._entries.add(pod.key, pod.full_name)
        entry.job = Job(job_id, JobState.UNKNOWN, pod=pod.key)
        entry.remembered = True
        return entry

    def ping(self) -> dict[str, Any]:
        return self.capacity.ping(reachable=not self.poller.error)

    async def system_info(self) -> dict[str, Any]:
        """Asks the site, unlike status."""
        output, error = "", self.poller.error
        try:
            result = await self._site.run(f"{quote(self._config.sinfo_path)} </dev/null", seconds=20)
            output = result.output.decode(errors="replace")
            error = "" if result.exit_code == 0 else f"sinfo ended with exit code {result.exit_code}"
        except SiteError as problem:
            error = str(problem)
        error = str(self.superseded or error)
        return {
            "status": "error" if error else "ok",
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "slurm_connected": not error,
            "sinfo_output": output,
            "error": error,
            "orphans": [{"pod": pod, "unaskedSeconds": int(each)} for pod, each in self.unasked.found().items()],
        }

    def knows(self, key: str) -> bool:
        """Whether the pod of this folder is here, or is being deleted here."""
        return self._entries.get(key) is not None or key in self.deletes

    # --- for those who watch ---

    @property
    def user(self) -> str:
        """The account at the site."""
        return self._config.ssh.user

    @property
    def line(self) -> Line:
        """How the way to the site stands."""
        return self._site.line

    def states(self) -> Counter[str]:
        """How many pods stand how."""
        return census.states(self._entries)

    async def overview(self) -> dict[str, Any]:
        """All pods that have a folder at the site, for people; see overview.py. Raises SiteError."""
        listed = await listing(self._site)
        await looked(self.poller)
        jobs = by_pod(self.poller.jobs)
        unasked = self.unasked.found()
        pods = [
            summary(each, self._entries.get(each.pod), jobs.get(each.pod, []))
            | {"unaskedSeconds": int(unasked.get(each.pod, 0))}
            for each in listed
        ]
        return {"site": address(self._config), "pods": pods}

    # --- delete ---

    def delete(self, pod: Pod) -> None:
        """Accepted once it is on disk, and carried out until it is done. Raises JournalError."""
        if entry := self._entries.get(pod.key):
            entry.outlives_folder = False
        self.deletes.accept(_delete_of(pod))
        event("delete accepted", pod=pod.full_name)

    # --- logs ---

    def log(self, what: LogSlice) -> AsyncGenerator[bytes, None]:
        """The bytes of a container's log, as `Logs.read` gives them."""
        return self._logs.read(what)


def _delete_of(pod: Pod) -> Delete:
    return Delete(
        pod.key, pod.full_name, pod.grace_period_seconds, pod.metadata.deletion_grace_period_seconds is not None
    )


async def _guarded(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Background work must not end unseen: it is logged, and started again."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the sidecar has to go on
            warn(f"{name} failed and starts again: {type(error).__name__}: {error}")
        await asyncio.sleep(RECOVERY_RETRY_SECONDS)
