"""The submission of one pod, until it has a job id or is refused, also if replies of the site are lost."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_never, wait_random_exponential

from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.slurm.refusals import Refusal
from remote_slurm.domain.slurm.sbatch_messages import sbatch_message, shortened
from remote_slurm.domain.submit_outcome import (
    Attempted,
    Deleted,
    Pulling,
    SbatchFailed,
    Stored,
    SubmitOutcome,
    Submitted,
    Unpullable,
)
from remote_slurm.errors import (
    AuthenticationRefused,
    HostKeyRefused,
    InvalidRequest,
    RemoteFailed,
    SiteError,
    SubmissionRefused,
    Superseded,
)
from remote_slurm.log import debug, info, warning
from remote_slurm.service.reconnect_signal import ReconnectSignal
from remote_slurm.service.storage import Storage
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.site import Site

_T = TypeVar("_T")
# Seconds until an attempt that another one has made possible
_SOON = 0.1


@dataclass(frozen=True, slots=True)
class SubmissionTimeouts:
    """Times in seconds; tests shorten them.

    `create`: how long a create may take until its files are stored at the site; interLink gives up at 120.
    `search`: how long to search for a job of unknown outcome: longer than twice Slurm's MessageTimeout (at most 100).
    `refused_for_now`, `not_sent` and `pulling`: the pause before the next attempt if Slurm refuses the job for now, if
    the login node cannot reach Slurm, or while images are pulled. A site that answers again ends a pause.
    """

    create: float = 55
    search: float = 220
    refused_for_now: float = 60
    not_sent: float = 10
    pulling: float = 5


@dataclass(slots=True)
class Submission:
    """A submission under way. `answer` is set once create can answer: the job id, or an empty one if it follows later.

    `note` is added to the message if Slurm refuses the pod. `task` submits it.
    """

    tracked: TrackedPod
    payload: Payload
    note: str = ""
    task: asyncio.Task[None] | None = None
    answer: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer_with(self, job_id: str) -> None:
        if not self.answer.done():
            self.answer.set_result(job_id)

    def cancel(self) -> None:
        """End the task: nothing more is sent to the site."""
        if self.task is not None:
            self.task.cancel()

    def fail_with(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # mark it as read: after a restart, no create waits for it


class Submitter:
    """Carries out submissions at one site."""

    def __init__(
        self,
        site: Site,
        returns: ReconnectSignal,
        timeouts: SubmissionTimeouts | None = None,
        clock: Callable[[], float] = time.monotonic,
        storage: Storage | None = None,
    ) -> None:
        self._site = site
        self._storage = storage or Storage(site, clock)
        self._returns = returns
        self._clock = clock
        self.timeouts = timeouts or SubmissionTimeouts()

    async def submit(self, submission: Submission) -> None:
        """Return once the pod has a job or is refused. The outcome is in the tracked pod and in the answer."""
        tracked = submission.tracked
        try:
            pause = self._returns.subscribe()
            while wait := await self._attempt(submission, submission.payload):
                submission.answer_with("")
                await pause.wait(wait)
                pause = self._returns.subscribe()
        except Superseded as error:
            # the newer sidecar continues the submission
            tracked.payload_stored, tracked.waiting = True, str(error)
            submission.answer_with("")
        except (InvalidRequest, SubmissionRefused, SiteError) as error:
            tracked.fail(str(error))
            if submission.answer.done():  # otherwise the answer of create is logged
                warning("pod failed", pod=tracked.name, reason=error)
            submission.fail_with(error)
        else:
            submission.answer_with(tracked.job_id)

    async def _attempt(self, submission: Submission, payload: Payload) -> float:
        """Make one attempt. Return after how many seconds to make the next one; 0 if there is an outcome."""
        tracked = submission.tracked
        outcome = await self._ask(tracked, payload)
        while isinstance(outcome, Stored):
            tracked.payload_stored = True
            outcome = await self._ask(tracked, payload)
        match outcome:
            case Submitted(job_id):
                tracked.set_job_id(job_id)
                info("job submitted", pod=tracked.name, job=job_id)
            case Deleted():
                raise _was_deleted(tracked)
            case Attempted(words):
                if words.strip():
                    submission.answer_with("")  # the status shows what sbatch printed
                return await self._search(submission, payload, _no_id(words))
            case SbatchFailed():
                return await self._refused(submission, payload, outcome)
            case Pulling():
                return self._pulling(tracked, outcome)
            case Unpullable(failure):
                await self._withdraw_refused(submission)
                raise SubmissionRefused(f"{failure.reason}: {failure.message}")
        return 0

    def _pulling(self, tracked: TrackedPod, outcome: Pulling) -> float:
        before = tracked.waiting
        tracked.payload_stored = True
        if outcome.failure:
            tracked.set_waiting(outcome.failure.reason, outcome.failure.message)
        else:
            tracked.set_waiting("ContainerCreating", f"image {outcome.image} is being pulled")
        if tracked.waiting != before:
            info("job submission waits for image pulls", pod=tracked.name, reason=tracked.waiting)
        return self.timeouts.pulling

    async def _refused(self, submission: Submission, payload: Payload, failed: SbatchFailed) -> float:
        tracked, refusal, words = submission.tracked, failed.refusal, shortened(failed.words)
        if refusal is Refusal.UNKNOWN:
            return await self._search(submission, payload, words)
        if failed.pods > 1 and refusal is not Refusal.NOT_SENT:
            # of an array, for a reason that may hold for no job of one pod
            await self._withdraw(tracked, keep_folder=True)
            return await self._attempt(submission, payload.after_refusal(failed.pods))
        tracked.payload_stored = refusal is not Refusal.FOR_GOOD
        if refusal is Refusal.FOR_GOOD:
            await self._withdraw_refused(submission)
            note = f" ({submission.note})" if submission.note else ""
            raise SubmissionRefused(f"Slurm refused the job of pod {tracked.name}: {words}{note}")
        await self._withdraw(tracked, keep_folder=True)
        refuses = "refuses the job for now" if refusal is Refusal.FOR_NOW else "cannot be reached"
        tracked.set_waiting("Submitting", f"Slurm {refuses} and is asked again: {words}")
        warning("Slurm did not accept the job, trying again", pod=tracked.name, reason=tracked.waiting)
        return self.timeouts.refused_for_now if refusal is Refusal.FOR_NOW else self.timeouts.not_sent

    async def _ask(self, tracked: TrackedPod, payload: Payload) -> SubmitOutcome:
        """Send the submission until a reply arrives: the remote script is safe to send again."""
        return await self._repeat(tracked, partial(self._site.submit, tracked.key, payload))

    async def _withdraw_refused(self, submission: Submission) -> None:
        """Remove the folder of a pod that is refused for good, if this sidecar has sent it.

        Otherwise the refusal stays at the site until the pod is deleted: the sidecar that sent the pod may ask for it.
        """
        if submission.payload:
            with contextlib.suppress(Superseded):
                await self._withdraw(submission.tracked, keep_folder=False)

    async def _withdraw(self, tracked: TrackedPod, *, keep_folder: bool) -> None:
        await self._repeat(tracked, partial(self._site.withdraw, tracked.key, keep_folder=keep_folder))

    async def _repeat(self, tracked: TrackedPod, ask: Callable[[], Awaitable[_T]]) -> _T:
        """The result of `ask`, which is repeated after outages: it must be safe to call again.

        Once the pod's files are stored, the pod is accepted and may have a job. Then a refused key is an outage, too,
        and does not fail the pod.
        """
        async for attempt in AsyncRetrying(
            stop=stop_never if tracked.payload_stored else self._late(),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            retry=retry_if_exception(_is_an_outage if tracked.payload_stored else is_retryable),
            before_sleep=lambda _: self._site.observer.retried("submit"),
            reraise=True,
        ):
            with attempt:
                return await self._log_retry(tracked, ask, first=attempt.retry_state.attempt_number == 1)
        raise AssertionError("tenacity ends by returning or raising")  # pragma: no cover

    def _late(self) -> Callable[[RetryCallState], bool]:
        """Whether a create has no more time, by the clock of this process (tenacity's stop_after_delay has its own)."""
        until = self._clock() + self.timeouts.create
        return lambda _: self._clock() >= until

    async def _log_retry(self, tracked: TrackedPod, ask: Callable[[], Awaitable[_T]], *, first: bool) -> _T:
        try:
            return await ask()
        except SiteError as error:
            tracked.waiting = str(error)
            self._storage.suspect(error)
            # the connection has logged why there is none; later attempts fail like the first one
            write = warning if first and isinstance(error, RemoteFailed) else debug
            write("cannot submit the pod, trying again", pod=tracked.name, reason=error)
            raise

    async def _search(self, submission: Submission, payload: Payload, why: str) -> float:
        """Find the job or the refusal after the reply of sbatch was lost. sbatch is not called again before that."""
        tracked = submission.tracked
        tracked.payload_stored = True
        tracked.waiting = f"the job is being looked for, since {why}"
        warning("searching for the job of a submission with unknown outcome", pod=tracked.name, reason=why)
        deadline = self._clock() + self.timeouts.search
        while not tracked.job_id:  # the poller finds it too
            outcome = await self._ask(tracked, payload.question())
            if isinstance(outcome, Submitted):
                tracked.set_job_id(outcome.job_id)
            elif isinstance(outcome, Deleted):
                raise _was_deleted(tracked)
            elif isinstance(outcome, SbatchFailed) and outcome.refusal is not Refusal.UNKNOWN:
                return await self._refused(submission, payload, outcome)
            elif not isinstance(outcome, Attempted | SbatchFailed):
                return _SOON  # the attempt came to nothing, and the pod is submitted again
            elif self._clock() > deadline:
                if await self._give_up(tracked, why):
                    return _SOON
            else:
                await asyncio.sleep(1)
        info("job submitted", pod=tracked.name, job=tracked.job_id)
        return 0

    async def _give_up(self, tracked: TrackedPod, why: str) -> bool:
        """Return whether the pod can be submitted again."""
        abandoned = await self._repeat(tracked, partial(self._site.abandon, tracked.key))
        if abandoned.may_submit_again:
            info("Slurm never showed the job array of the pod; submitting it again", pod=tracked.name)
        elif not abandoned.job_id:
            raise SubmissionRefused(_never_shown(why))
        else:
            tracked.set_job_id(abandoned.job_id)
        return abandoned.may_submit_again


def _was_deleted(tracked: TrackedPod) -> InvalidRequest:
    return InvalidRequest(f"pod {tracked.name} was deleted: create it again, with a new UID as Kubernetes gives it")


def fail_abandoned(tracked: TrackedPod) -> None:
    """Fail a pod whose submission was given up before this sidecar started."""
    if not tracked.failure:
        tracked.fail(_never_shown("its submission was given up"))


def _never_shown(why: str) -> str:
    return f"Slurm never showed a job for the pod: {why}"


def _no_id(words: str) -> str:
    """Why there is no job id, from what sbatch printed."""
    if not words.strip():
        return "the reply of sbatch was lost"
    return f"sbatch printed no job id, but: {shortened(sbatch_message(words))}"


def is_retryable(error: BaseException) -> bool:
    """Whether asking again can help without a correction by a person."""
    return _is_an_outage(error) and not isinstance(error, HostKeyRefused | AuthenticationRefused)


def _is_an_outage(error: BaseException) -> bool:
    """Whether asking again can help at all."""
    return isinstance(error, SiteError) and not isinstance(error, Superseded)
