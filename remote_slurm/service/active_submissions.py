"""The submissions of one account that have no outcome yet, each in its own background task."""

from __future__ import annotations

import time
from collections import deque

from remote_slurm.domain.plan.payload import Payload
from remote_slurm.service.audit import AuditLog, notes, pod_fields
from remote_slurm.service.background_tasks import BackgroundTasks
from remote_slurm.service.poller import Poller
from remote_slurm.service.process_tuning import MemoryTrim
from remote_slurm.service.submitter import Submission, Submitter
from remote_slurm.service.tracked_pod import TrackedPod

# A burst of creates is longer, and a mean does not need more
_MOST_LATENCIES = 1000


class ActiveSubmissions:
    """By the key of the pod. `user` is the account at the site, for the audit log."""

    def __init__(
        self, submitter: Submitter, poller: Poller, tasks: BackgroundTasks, audit: AuditLog, user: str
    ) -> None:
        self._submitter = submitter
        self._poller = poller
        self._tasks = tasks
        self._audit = audit
        self._user = user
        self._under_way: dict[str, Submission] = {}
        self._memory_trim = MemoryTrim()
        self._latencies: deque[float] = deque(maxlen=_MOST_LATENCIES)

    def __contains__(self, pod: str) -> bool:
        return pod in self._under_way

    def get(self, pod: str) -> Submission | None:
        return self._under_way.get(pod)

    def begin(self, tracked: TrackedPod, payload: Payload, note: str = "") -> Submission:
        """Submit the pod in the background. An empty payload continues what is stored at the site."""
        submission = Submission(tracked, payload, note)
        self._under_way[tracked.key] = submission
        submission.task = self._tasks.run_once(f"submit {tracked.key}", self._submit(submission))
        self._memory_trim.count(len(self._under_way))
        return submission

    def recovered(self, pods: int) -> None:
        """Trim memory after a recovery of many pods, which needs as much at once as a burst of creates."""
        self._memory_trim.count(pods)
        self._memory_trim.count(len(self._under_way))

    def take_latencies(self) -> list[float]:
        """How long the latest submissions took until there was a job, in seconds; then there are none."""
        taken = list(self._latencies)
        self._latencies.clear()
        return taken

    async def _submit(self, submission: Submission) -> None:
        tracked, began = submission.tracked, time.monotonic()
        try:
            await self._submitter.submit(submission)
            if tracked.job_id:
                self._latencies.append(time.monotonic() - began)
            self._write_audit(tracked)
            if tracked.job_id and tracked.submitted is None:
                tracked.submitted = time.time() + self._poller.clock_offset
            self._poller.poll_soon()
        finally:
            self._under_way.pop(tracked.key, None)
            self._memory_trim.count(len(self._under_way))

    def _write_audit(self, tracked: TrackedPod) -> None:
        """A line of its own: a job may be submitted long after its create was answered."""
        known = notes.get() or {"pod": pod_fields(tracked.key, tracked.name), "user": self._user}
        fields = {key: value for key, value in known.items() if key != "jobId"}
        if tracked.job_id:
            self._audit.write("submit", "accepted", fields, jobId=tracked.job_id)
        elif tracked.failure:
            self._audit.write("submit", "refused", fields, reason=tracked.failure)
