"""What the sidecar knows of one pod: its job, the latest record of each container, and how sure that is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.pod.resources import names_memory
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.status.job_comment import CommentReport, NodeFolder, parse_comment
from remote_slurm.domain.status.pod_status import declared_ports, reported_names
from remote_slurm.domain.status.pod_summary import PodSummary
from remote_slurm.domain.status.view import SUBMITTING, PodView
from remote_slurm.log import debug, info


@dataclass(slots=True, eq=False)
class TrackedPod:
    """One pod: its job, the latest record of each container, and how sure we are.

    `run` is how many runs of the job are over since Slurm requeued it: their records do not count any more.
    """

    key: str  # the name of its folder at the site
    name: str = ""  # namespace/name; the key until a request has named the pod
    container_names: tuple[str, ...] = ()  # empty until a request has listed them
    ports: tuple[int, ...] = ()  # TCP ports of its containers, likewise
    names_memory: bool = True  # it has a memory limit or request; True until a request has said otherwise
    job: Job | None = None
    records: dict[str, Record] = field(default_factory=dict)
    previous_records: dict[str, Record] = field(default_factory=dict)  # the last record of earlier runs of the job
    run: int = 0
    waits_again: bool = False  # squeue listed its job as running, and then as waiting
    final: bool = False
    failure: str = ""
    waiting: str = ""
    waiting_reason: str = SUBMITTING
    known_to_kubelet_only: bool = False  # the Virtual Kubelet named its job id; the site has no folder of the pod
    payload_stored: bool = False  # its files are at the site: the submission continues even if this sidecar stops
    deleted: bool = False
    outlives_folder: bool = False  # its end is reported until Kubernetes deletes the pod, after KeepFinished removed it
    missing_since: float | None = None  # when a good squeue first lacked its job
    missing_polls: int = 0
    submitted: float | None = None  # when sbatch was called for its job, or Slurm accepted it, by the site's clock
    runs_copy: bool | None = None  # whether its job has another script than its folder; None: squeue has not shown it
    is_listed: bool = False  # the last squeue that succeeded listed its job
    ended_since: float | None = None  # when its job was first seen ended
    comment_report: CommentReport | None = None  # read from its job's comment; only with SHARED_FS: false
    awaits_squeue: bool = False  # recovered, and squeue has not shown its records yet; only with SHARED_FS: false
    fetched: bool = False  # its logs were copied from the node
    since: float = field(default_factory=time.time)  # when this process added it
    usage_tries: int = 0  # how often sacct was asked what it has used
    usage_is_settled: bool = False  # sacct has answered, or has nothing
    counted_start: int = -1  # the run whose start is counted (PodTimes)
    end_is_counted: bool = False
    ended_here: bool = False  # it ended since this process started
    _finished: asyncio.Event | None = None

    def describe(self, pod: Pod) -> None:
        """Take the pod's name, containers and ports from a request."""
        self.name, self.container_names, self.ports = pod.full_name, reported_names(pod), declared_ports(pod)
        self.names_memory = names_memory(pod)

    def view(self) -> PodView:
        """What is known of the pod now. It shares the records, so that it must not be kept."""
        return PodView(
            job=self.job,
            records=self.records,
            final=self.final,
            failure=self.failure,
            waiting=self.waiting,
            runs=self.run,
            waiting_reason=self.waiting_reason,
            previous_records=self.previous_records,
            container_names=self.container_names,
            ports=self.ports,
            being_deleted=self.deleted and not self.outlives_folder,
            unlisted=self.missing_since is not None,
            names_memory=self.names_memory,
            usage_is_settled=self.usage_is_settled and self.ended_here,
            reported_usage=self.comment_report.usage if self.comment_report else None,
        )

    def summary(self) -> PodSummary:
        """The state of the pod now."""
        return PodSummary(self.view())

    @property
    def is_reportable(self) -> bool:
        """Whether to report a status. A pod that only the Virtual Kubelet knows is reported once it is over."""
        if self.awaits_squeue and not self.is_over:
            return False
        kept_by_us = not self.known_to_kubelet_only or bool(self.records) or self.is_over
        return kept_by_us and self.view().is_known

    @property
    def finished(self) -> asyncio.Event:
        """Set once the pod is over. Created on first use: there are many pods, and few of them have followed logs."""
        if self._finished is None:
            self._finished = asyncio.Event()
            self._notify_if_over()
        return self._finished

    def _notify_if_over(self) -> None:
        if self._finished is not None and self.is_over:
            self._finished.set()

    @property
    def job_id(self) -> str:
        return self.job.id if self.job else ""

    @property
    def is_shown_waiting(self) -> bool:
        """Whether the last squeue listed the job as waiting. An id alone, or an earlier squeue, does not show that."""
        return self.is_listed and self.job is not None and self.job.state.phase is JobPhase.WAITING

    @property
    def on_node(self) -> NodeFolder | None:
        """The folder of its logs on the node, until they are copied to the site."""
        running = self.job is not None and self.job.state.phase is JobPhase.RUNNING
        if self.comment_report is None or not self.comment_report.folder or self.fetched or not running:
            return None
        return NodeFolder(self.job_id, self.comment_report.folder)

    def set_job_id(self, job_id: str) -> None:
        """Set the job's id. The next poll sets its state."""
        if self.job_id != job_id:
            self.is_listed, self.runs_copy, self.missing_since, self.missing_polls = False, None, None, 0
            self.job = Job(job_id, JobState.PENDING, pod=self.key)
        self.waiting = ""

    def set_waiting(self, reason: str, message: str) -> None:
        """Set why there is no job yet: a word and a sentence."""
        self.waiting_reason, self.waiting = reason, message

    def owns(self, job: Job) -> bool:
        """Whether a job with this pod's job id is the pod's, although its script is not: ids are reused.

        An id that squeue lists without a break is the same job, whatever a requeue changes.
        """
        return self.is_listed or job.may_be_of(self.key, self.submitted)

    def mark_missing(self, now: float) -> None:
        """Note that a successful squeue did not list the pod's job."""
        self.is_listed = False
        self.missing_since = self.missing_since or now
        self.missing_polls += 1

    def update_from_squeue(self, job: Job) -> None:
        """Take the pod's job from squeue. An unknown state keeps the last one."""
        if self.job is not None and self.job.id != job.id:
            return  # a second job of the pod: the fence has ended it, or will
        self.awaits_squeue = False
        self.is_listed, self.missing_since, self.missing_polls = True, None, 0
        if job is self.job or (job.state.phase is JobPhase.UNKNOWN and self.job is not None):
            return
        self.submitted = job.submitted or self.submitted
        self.runs_copy = job.is_copy
        before, self.job = self.job, job
        if before is None or job.state is not before.state:
            info("job changed its state", pod=self.name, job=job.id, state=job.state.value, reason=job.reason)
        elif job.state.phase is JobPhase.WAITING and job.reason != before.reason:
            debug("job waits for another reason", pod=self.name, job=job.id, reason=job.reason)
        self._take_comment(job)
        if job.state.phase is not JobPhase.ENDED:
            self.ended_since = None
        if job.state.phase is not JobPhase.WAITING:
            self.waits_again = False
        elif before is not None and before.state.phase in (JobPhase.RUNNING, JobPhase.ENDED):
            self.waits_again = True

    def update_from_sacct(self, job: Job) -> None:
        """Take the pod's job from sacct, if squeue no longer lists it. The last squeue may have shown its node."""
        node = job.node or (self.job.node if self.job else "")
        self.job = replace(job, pod=self.key, node=node)
        self._take_comment(job)

    def mark_cancelled(self) -> None:
        """Note that the job was cancelled while it waited. Slurm has no trace of it."""
        if self.job is not None:
            self.job = replace(self.job, state=JobState.CANCELLED, reason="")

    def take_usage(self, job: Job) -> None:
        """Take what the accounting has of the pod's job, after its end."""
        if self.job is None or self.job.id != job.id:
            return
        self.job = replace(
            self.job,
            usage=job.usage,
            start=job.start or self.job.start,
            end=job.end or self.job.end,
            submitted=job.submitted or self.job.submitted,
            partition=self.job.partition or job.partition,
            node=self.job.node or job.node,
        )

    def _take_comment(self, job: Job) -> None:
        report = parse_comment(self.key, job.comment)
        if report is None:
            return
        for record in report.records:
            self.add_record(record)
        of_this_run = all(record.run == self.run for record in report.records)
        if job.state.phase is not JobPhase.WAITING and of_this_run:
            self._take_report(report)
        elif report.records and of_this_run:
            # a job that has not started writes no comment: this one is of the run before the requeue
            self.begin_run(self.run + 1)

    def _take_report(self, report: CommentReport) -> None:
        self.comment_report = report
        if report.failure:
            self.fail(f"job {self.job_id}: {report.failure}")

    def add_record(self, record: Record) -> None:
        """Keep the latest record: a poll may bring an older one again, and one of an earlier run."""
        if record.run > self.run:
            self.begin_run(record.run)
        _keep_latest(self.records if record.run == self.run else self.previous_records, record)

    def begin_run(self, run: int) -> None:
        """Start a new run of the job: earlier records only show how earlier runs ended."""
        self.run = run
        self.fetched, self.comment_report = False, None
        for record in self.records.values():
            _keep_latest(self.previous_records, record)
        self.records.clear()

    def fail(self, reason: str) -> None:
        """Fail the pod: there is no job, and will be none."""
        self.failure = reason
        self._notify_if_over()

    def finalize(self) -> None:
        """End the pod: its job has ended, and its last records were read."""
        self.final = True
        self._notify_if_over()

    @property
    def is_complete(self) -> bool:
        """Whether each of its containers has a record of its end."""
        ended = {name for name, record in self.records.items() if record.phase is ContainerPhase.TERMINATED}
        return bool(self.container_names) and ended.issuperset(self.container_names)

    @property
    def is_over(self) -> bool:
        return self.final or bool(self.failure)


def _keep_latest(records: dict[str, Record], record: Record) -> None:
    known = records.get(record.container)
    if known is None or _order(record) > _order(known) or _says_more(record, known):
        records[record.container] = record


def _order(record: Record) -> tuple[int, int, int, bool, int]:
    return record.run, record.number, record.started, record.phase is ContainerPhase.TERMINATED, record.finished


def _says_more(record: Record, known: Record) -> bool:
    """The same record may come again with the end of its message cut off, or without `last` (job/no_shared_fs.sh)."""
    extent, extent_before = ((each.last is not None, len(each.message)) for each in (record, known))
    return _order(record) == _order(known) and extent > extent_before
