"""Handles a create request: stores the pod, and starts a submission that continues in the background."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.plan.annotations import flags_note
from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.pod.model import CreateRequest, Pod
from remote_slurm.errors import InvalidRequest, NotSent, OutcomeUnknown, SiteError, SubmissionRefused
from remote_slurm.job import SCRIPTS
from remote_slurm.log import warning
from remote_slurm.service.active_submissions import ActiveSubmissions
from remote_slurm.service.audit import masked, note
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.kubernetes import Kubernetes
from remote_slurm.service.logs import Logs
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import Poller
from remote_slurm.service.pull_secrets import with_pull_secrets
from remote_slurm.service.recovery import PodRecovery
from remote_slurm.service.rendering import LargerThanItsRequestError, Rendering
from remote_slurm.service.submitter import Submission
from remote_slurm.service.tracked_pod import TrackedPod


@dataclass(frozen=True, slots=True)
class Created:
    """`job_id` is empty if the submission continues in the background."""

    pod_uid: str
    job_id: str


@dataclass(frozen=True, slots=True)
class CreatorComponents:
    """The components that PodCreator calls."""

    pod_store: PodStore
    recovery: PodRecovery
    submissions: ActiveSubmissions
    deletes: Deletes
    poller: Poller
    logs: Logs
    kubernetes: Kubernetes


class PodCreator:
    """Answers each create within `seconds`, since interLink gives up after two minutes."""

    def __init__(self, components: CreatorComponents, config: Config, seconds: float) -> None:
        self._components = components
        self._config = config
        self._seconds = seconds
        self._rendering = Rendering()

    async def create(self, request: CreateRequest) -> Created:
        """Submit the pod, unless it has a job already.

        Raises InvalidRequest or SubmissionRefused if asking again cannot help, and SiteError if the pod could not be
        stored at the site in time: then a delete is in the journal, and nothing will run.
        """
        pod, components = request.pod, self._components
        until = asyncio.get_running_loop().time() + self._seconds
        if components.pod_store.get(pod.key) is None:
            request = await components.kubernetes.completed(request, self._config)
        if not components.recovery.is_done:
            await self._rendered(request)  # an invalid pod is refused before the site answers
            await self._until_recovered(pod, until)
        tracked = components.pod_store.add(pod.key, pod.full_name)
        tracked.describe(pod)
        if tracked.failure:
            raise SubmissionRefused(tracked.failure)
        if tracked.job_id:
            return Created(pod.metadata.uid, tracked.job_id)
        submission = await self._submission(tracked, request)
        return Created(pod.metadata.uid, await self._job_id(pod, submission, until))

    async def _until_recovered(self, pod: Pod, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._components.recovery.wait()
        except TimeoutError:
            self._take_back(pod)
            reason = self._components.poller.error
            raise NotSent(
                f"the job of pod {pod.full_name} was not submitted, since the site cannot be asked: {reason}"
            ) from None
        except SiteError:
            self._take_back(pod)
            raise

    async def _submission(self, tracked: TrackedPod, request: CreateRequest) -> Submission:
        """The submission of the pod: the one that is under way, or a new one."""
        submissions = self._components.submissions
        try:
            if under_way := submissions.get(tracked.key):
                return under_way
            rendered = await self._rendered(request)
            return submissions.get(tracked.key) or submissions.begin(tracked, rendered, flags_note(request.pod))
        except InvalidRequest:
            self._components.pod_store.forget(tracked.key)
            raise

    async def _job_id(self, pod: Pod, submission: Submission, until: float) -> str:
        """The job id, or an empty one if the pod is stored at the site and the submission takes longer."""
        tracked = submission.tracked
        try:
            async with asyncio.timeout_at(until):
                return await asyncio.shield(submission.answer)
        except TimeoutError:
            if tracked.payload_stored:
                return ""
            submission.cancel()
            self._take_back(pod)
            reason = tracked.waiting or "the site is slow"
            raise OutcomeUnknown(
                f"the job of pod {pod.full_name} was not submitted in time, and will not be: {reason}"
            ) from None
        except (SubmissionRefused, InvalidRequest) as error:
            self._components.pod_store.forget(tracked.key)
            self._components.logs.remember_refusal(tracked.key, str(error))
            raise
        except SiteError:
            self._take_back(pod)
            raise

    def _take_back(self, pod: Pod) -> None:
        """Kubernetes fails the pod for good, so whatever became of its submission must not run."""
        self._components.pod_store.forget(pod.key)
        self._components.deletes.accept_for(pod)

    async def _rendered(self, request: CreateRequest) -> Payload:
        rendered, warnings = await self._rendering.rendered(request.size, self._render, request)
        for message in warnings:
            warning(message, pod=request.pod.full_name)
        return rendered

    def _render(self, request: CreateRequest, most_bytes: float) -> tuple[Payload, tuple[str, ...]]:
        plan = plan_job(with_pull_secrets(request, self._config), self._config)
        plan.refuse_other_user(self._components.recovery.uid)
        if plan.size > most_bytes:
            raise LargerThanItsRequestError
        rendered = payload(plan, SCRIPTS)
        note(images=[masked(image) for image in plan.images], scripts=dict(rendered.digests))
        return rendered, plan.warnings
