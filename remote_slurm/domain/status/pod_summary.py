"""The state of a pod, derived once from what is known of it.

interLink's status, the page, `top`, `status` and `watch`, Kubernetes Events, the metrics and the log are made of a
`PodSummary`, so that they cannot disagree (tests/domain/test_pod_summary.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from remote_slurm.domain.records import KILLED, ContainerPhase, LastRun, Reason, Record, run_before_requeue
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.slurm.pending_reasons import pending_sentence, reason_label, reason_word
from remote_slurm.domain.status.container_ends import (
    end_message,
    reason_follows,
    unrecorded_end_message,
    unrecorded_exit_code,
)
from remote_slurm.domain.status.message_size import cut_message
from remote_slurm.domain.status.times import rfc3339
from remote_slurm.domain.status.view import PodView

INITIALIZING = "PodInitializing"
# Slurm's word for an exit code that the summary names itself
_NON_ZERO = "NonZeroExitCode"
# As much as a kubelet keeps of one termination message
_MESSAGE_BYTES = 4096


class PodPhase(StrEnum):
    """The phase of a pod. A pod that is being deleted is ENDING until nothing is left of it at the site."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDING = "ending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


# States of a pod whose job has no state in Slurm
SUBMITTING = "SUBMITTING"
ENDED = "ENDED"
# Why a pod without a job waits
_SUBMITTING_LABEL = "Submitting"
_COMPLETED: str = JobState.COMPLETED.value
_FAILED: str = JobState.FAILED.value
_UNKNOWN: str = JobState.UNKNOWN.value

_PHASES = {
    JobPhase.WAITING: PodPhase.WAITING,
    JobPhase.RUNNING: PodPhase.RUNNING,
    JobPhase.ENDED: PodPhase.ENDING,
    JobPhase.UNKNOWN: PodPhase.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class ContainerSummary:
    """The state of one container; times in seconds since 1970 by the node's clock, 0 if not known.

    `reason` and `message` say why a container waits, or how it ended; an end may have no `reason`. `last` is its run
    before the present one. `restarts` counts the runner's restarts and Slurm's requeues.
    """

    name: str
    phase: ContainerPhase
    reason: str = ""
    message: str = ""
    started: int = 0
    finished: int = 0
    exit_code: int = 0
    signal: int = 0
    restarts: int = 0
    last: LastRun | None = None

    @property
    def end(self) -> str:
        """How the container ended, in a sentence."""
        sentence = f"{self.name} ended with exit code {self.exit_code}"
        return f"{sentence}: {self.message}" if self.message else sentence


@dataclass(frozen=True, slots=True)
class PodSummary:
    """A pod's state, phase, reason and containers. Messages are cut to `message_bytes` each.

    Why a pod waits is derived in three forms: `reason` is a sentence for the pod, `container_waiting` a word and a
    sentence for the state `waiting` of its containers, and `waiting_label` one of few words, for metrics. All three
    come from the job, or from `waiting` and `waiting_reason` of the view while there is no job.
    """

    view: PodView
    message_bytes: int = _MESSAGE_BYTES

    @property
    def state(self) -> str:
        """A Slurm job state, SUBMITTING before there is a job, or ENDED if only the records show an end.

        If they show how all containers ended by themselves, the state is the one that Slurm gives such a job.
        """
        view = self.view
        if view.failure:
            return _FAILED
        if view.job is None:
            return SUBMITTING
        if not self._is_unlisted:
            return str(view.job.state.value)
        if not self._all_recorded:
            return _UNKNOWN
        if not self.is_over:
            return ENDED
        return _FAILED if self.exit_code else _COMPLETED

    @property
    def phase(self) -> PodPhase:
        """SUCCEEDED and FAILED are final: interLink's status reports an end of each container."""
        view = self.view
        if view.being_deleted:
            return PodPhase.ENDING
        if self.is_over:
            return PodPhase.FAILED if self.exit_code else PodPhase.SUCCEEDED
        of_job = _PHASES[view.job.state.phase] if view.job else PodPhase.WAITING
        if of_job is PodPhase.RUNNING and not view.unlisted:
            return of_job
        if of_job is PodPhase.ENDING or not any(each.has_run for each in view.records.values()):
            return of_job
        # squeue has not listed the job yet, or no longer does
        return PodPhase.ENDING if self._all_recorded else PodPhase.RUNNING

    @property
    def is_over(self) -> bool:
        """Whether every container has ended, and no record can change how."""
        view = self.view
        if view.failure or view.final:
            return True
        records = [view.records.get(name) for name in view.container_names]
        return bool(records) and all(record is not None and _is_final(record, view) for record in records)

    @property
    def exit_code(self) -> int:
        """The highest exit code of the containers that have ended.

        If no request has described the pod, a job that COMPLETED counts: records may be those of native sidecars, which
        the runner stops.
        """
        view = self.view
        if not view.container_names and view.job is not None and view.job.state is JobState.COMPLETED:
            return 0
        codes = [code for name in view.names if (code := self._exit_code(view.records.get(name))) is not None]
        return max(codes, default=self._exit_code(None) or 0)

    def _exit_code(self, record: Record | None) -> int | None:
        """The exit code of a container with this record; None if it has not ended."""
        view = self.view
        if record is not None and _is_final(record, view):
            return record.exit_code
        if view.failure:
            return 1 if record is None else KILLED
        return unrecorded_exit_code(view) if view.final else None

    @property
    def node(self) -> str:
        """The node where the job's script runs or ran: squeue's or sacct's, else the one in the records.

        Empty while the job waits. A job that squeue no longer lists, or has not listed yet, may have records only.
        """
        job = self.view.job
        if job and job.node and job.state.phase in (JobPhase.RUNNING, JobPhase.ENDED):
            return job.node
        if self.phase is PodPhase.WAITING:
            return ""
        return next((each.node for each in self.view.records.values() if each.node), "")

    @property
    def reason(self) -> str:
        """Why the pod is in this phase, in a sentence; empty if there is no reason."""
        view, job = self.view, self.view.job
        if view.failure:
            return view.failure
        if view.being_deleted:
            return "the pod is being deleted"
        if not self.is_over:
            if job is None:
                return view.waiting
            if self.state == _UNKNOWN:
                return "squeue does not list its job"
            if not (self._is_unlisted and self._all_recorded) and job.state.phase is JobPhase.WAITING:
                return pending_sentence(job)
        return self._reason_of_end(job)

    def _reason_of_end(self, job: Job | None) -> str:
        """Slurm's word, and how each container failed."""
        ends = [each.end for each in self.containers if each.exit_code]
        if self.is_over and not self.exit_code:
            return ""
        if self.is_over and not ends:
            return unrecorded_end_message(self.view)
        word = reason_word(job) if job else ""
        return "; ".join([*([word] if word and not (ends and word == _NON_ZERO) else []), *ends])

    @property
    def containers(self) -> tuple[ContainerSummary, ...]:
        """In the order of the pod; of a pod that no request has described, those with records in their order."""
        return tuple(self.container(name) for name in self.view.names)

    def container(self, name: str) -> ContainerSummary:
        """The state of this container."""
        view = self.view
        record, before = view.records.get(name), view.previous_records.get(name)
        restarts = view.runs + max(each.restarts if each else 0 for each in (record, before))
        last = (record and record.last) or run_before_requeue(before)
        code = self._exit_code(record)
        if code is not None:
            return ContainerSummary(
                name,
                ContainerPhase.TERMINATED,
                reason=Reason.START_ERROR if record and record.reason == Reason.START_ERROR else "",
                message=self._end_message(record),
                started=record.began if record else 0,
                finished=record.finished if record else 0,
                exit_code=code,
                signal=record.signal if record else 0,
                restarts=restarts,
                last=last,
            )
        if record is not None and record.phase is ContainerPhase.WAITING:
            phase, reason, message = ContainerPhase.WAITING, record.reason, record.message
        elif record is not None and record.has_run:
            phase, reason, message = ContainerPhase.RUNNING, "", ""
        else:
            phase, (reason, message) = ContainerPhase.WAITING, self.container_waiting
        started = record.started if record and record.has_run else 0
        return ContainerSummary(name, phase, reason, message, started, restarts=restarts, last=last)

    def _end_message(self, record: Record | None) -> str:
        view, size = self.view, self.message_bytes
        if record is not None and _is_final(record, view):
            return end_message(record, view, size)
        return cut_message(view.failure or unrecorded_end_message(view), size)

    @property
    def waiting_label(self) -> str:
        """Why the pod waits, as one of few words: see `reason_label`. Empty if it does not wait."""
        if self.phase is not PodPhase.WAITING:
            return ""
        return reason_label(self.view.job) if self.view.job else _SUBMITTING_LABEL

    @property
    def container_waiting(self) -> tuple[str, str]:
        """Why a container without a record waits: a word and a sentence."""
        view, job = self.view, self.view.job
        if job is None:
            return view.waiting_reason, view.waiting or "the job is being submitted"
        if job.state.phase is JobPhase.WAITING:
            return reason_word(job) or "Pending", pending_message(job)
        if view.records:
            sidecar = view.awaited_sidecar
            first = f"; sidecar {sidecar.container} comes first: {sidecar.message}" if sidecar else ""
            return INITIALIZING, f"job {job.id} runs; this container has not started yet{first}"
        return "ContainerCreating", f"job {job.id} is {job.state.value.lower()}"

    @property
    def _is_unlisted(self) -> bool:
        """Whether Slurm shows no state of the job: squeue does not list it, and accounting knows no end."""
        job = self.view.job
        unlisted = self.view.unlisted and not self.view.final
        return job is None or job.state is JobState.UNKNOWN or (unlisted and job.state.phase is not JobPhase.ENDED)

    @property
    def _all_recorded(self) -> bool:
        records = [self.view.records.get(name) for name in self.view.names]
        return bool(records) and all(each is not None and each.phase is ContainerPhase.TERMINATED for each in records)


def _is_final(record: Record, view: PodView) -> bool:
    return record.phase is ContainerPhase.TERMINATED and not reason_follows(record, view)


def pending_message(job: Job) -> str:
    """Why the job waits, and when Slurm expects it to start."""
    why = pending_sentence(job)
    expected = f"; expected to start at {rfc3339(job.start)}" if job.start else ""
    return f"job {job.id} is {job.state.value.lower()} in Slurm{': ' if why else ''}{why}{expected}"
