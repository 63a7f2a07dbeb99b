"""One pod's way to a job id, however often the answer is lost on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_never, wait_random_exponential

from remote_slurm.domain.images import pull_word
from remote_slurm.domain.payload import Payload
from remote_slurm.domain.slurm import Refusal, classify_refusal, shortened, slurm_words
from remote_slurm.errors import (
    AuthenticationRefused,
    HostKeyRefused,
    Rejected,
    SiteError,
    SubmissionRefused,
    Superseded,
)
from remote_slurm.events import detail, event, warn
from remote_slurm.remote.convoy import (
    Attempted,
    Deleted,
    Pulling,
    SbatchFailed,
    Stored,
    Submission,
    Submitted,
    Unpullable,
)
from remote_slurm.remote.site import Site
from remote_slurm.service.entries import Entry
from remote_slurm.service.returns import Returns

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on, in seconds; tests shorten it.

    `create`: how long a create that has nothing stored at the site may take; interLink gives up at 120.
    `look`: how long a submission of unknown outcome is looked for, past twice Slurm's MessageTimeout (at most 100).
    `refused_for_now`, `not_sent` and `pulling`: when to ask again, where Slurm refuses for now, cannot be reached from
    the login node, or images are being pulled; earlier where the site answers again meanwhile.
    """

    create: float = 55
    look: float = 220
    refused_for_now: float = 60
    not_sent: float = 10
    pulling: float = 5


@dataclass(slots=True)
class Submitting:
    """A submission under way; `answer` is set once create can answer: the job id, or empty when it follows.

    `note` is what who reads that Slurm refused the pod should know besides.
    """

    entry: Entry
    payload: Payload
    note: str = ""
    answer: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answered(self, job_id: str) -> None:
        if not self.answer.done():
            self.answer.set_result(job_id)

    def failed(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # after a restart there is no create that waits for it


class Submitter:
    """Carries submissions out against one site."""

    def __init__(
        self,
        site: Site,
        returns: Returns,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._site = site
        self._returns = returns
        self._clock = clock
        self.patience = patience or Patience()

    async def submit(self, submitting: Submitting) -> None:
        """Until the pod has a job or will have none; the outcome is in the entry and in the answer."""
        entry = submitting.entry
        try:
            pause = self._returns.watch()
            while wait := await self._once(submitting):
                submitting.answered("")
                await pause.wait(wait)
                pause = self._returns.watch()
        except Superseded as error:
            # the newer sidecar goes on with it
            entry.waiting = str(error)
            submitting.failed(error)
        except (Rejected, SubmissionRefused, SiteError) as error:
            entry.fail(str(error))
            submitting.failed(error)
        else:
            submitting.answered(entry.job_id)

    async def _once(self, submitting: Submitting) -> float:
        """In how many seconds to ask again; 0: the matter is settled."""
        entry = submitting.entry
        outcome = await self._ask(entry, submitting.payload)
        while isinstance(outcome, Stored):
            entry.stored = True
            outcome = await self._ask(entry, submitting.payload)
        match outcome:
            case Submitted(job_id):
                entry.has_job(job_id)
                event("submitted", pod=entry.name, job=job_id)
            case Deleted():
                raise Rejected(f"pod {entry.name} was deleted before; a job is not started for it again")
            case Attempted():
                return await self._look(submitting, "the answer of sbatch was lost")
            case SbatchFailed(message):
                return await self._refused(submitting, slurm_words(message))
            case Pulling():
                return self._pulling(entry, outcome)
            case Unpullable(message):
                await self._withdraw(entry, keep_folder=False)
                raise SubmissionRefused(f"{pull_word(message)}: {message}")
        return 0

    def _pulling(self, entry: Entry, outcome: Pulling) -> float:
        before = entry.waiting
        entry.stored = True
        if outcome.failure:
            entry.waits(pull_word(outcome.failure), outcome.failure)
        else:
            entry.waits("ContainerCreating", f"image {outcome.image} is being pulled")
        if entry.waiting != before:
            event(entry.waiting, pod=entry.name)
        return self.patience.pulling

    async def _refused(self, submitting: Submitting, words: str) -> float:
        entry = submitting.entry
        refusal = classify_refusal(words)
        words = shortened(words)
        if refusal is Refusal.UNKNOWN:
            return await self._look(submitting, words)
        entry.stored = refusal is not Refusal.FOR_GOOD
        await self._withdraw(entry, keep_folder=entry.stored)
        if refusal is Refusal.FOR_GOOD:
            note = f" ({submitting.note})" if submitting.note else ""
            raise SubmissionRefused(f"Slurm refused the job of pod {entry.name}: {words}{note}")
        refuses = "refuses the job for now" if refusal is Refusal.FOR_NOW else "cannot be reached"
        entry.waits("Submitting", f"Slurm {refuses} and is asked again: {words}")
        warn(entry.waiting, pod=entry.name)
        return self.patience.refused_for_now if refusal is Refusal.FOR_NOW else self.patience.not_sent

    async def _ask(self, entry: Entry, payload: Payload) -> Submission:
        """Send the submission until an answer comes back: the remote script is safe to send again."""
        return await self._answered(entry, partial(self._site.submit, entry.pod, payload))

    async def _withdraw(self, entry: Entry, *, keep_folder: bool) -> None:
        await self._answered(entry, partial(self._site.withdraw, entry.pod, keep_folder=keep_folder))

    async def _answered(self, entry: Entry, ask: Callable[[], Awaitable[_T]]) -> _T:
        """What `ask` answers, however often it has to be called: it must be safe to call again.

        Once the pod's files are stored it is accepted, and may have a job: then a refused key is an outage like any
        other, and no reason to report an end.
        """
        async for attempt in AsyncRetrying(
            stop=stop_never if entry.stored else self._late(),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            retry=retry_if_exception(_is_an_outage if entry.stored else passes),
            before_sleep=lambda _: self._site.observer.retried("submit"),
            reraise=True,
        ):
            with attempt:
                return await self._noted(entry, ask)
        raise AssertionError("tenacity ends by returning or raising")  # pragma: no cover

    def _late(self) -> Callable[[RetryCallState], bool]:
        """Whether a create has no more time; by our clock, which tenacity's own delay would not go by."""
        until = self._clock() + self.patience.create
        return lambda _: self._clock() >= until

    async def _noted(self, entry: Entry, ask: Callable[[], Awaitable[_T]]) -> _T:
        try:
            return await ask()
        except SiteError as error:
            entry.waiting = str(error)
            detail(f"the submission is sent again: {error}", pod=entry.name)
            raise

    async def _look(self, submitting: Submitting, why: str) -> float:
        """sbatch was called and its answer is lost: find the job, or its no; sbatch is not called again before that."""
        entry = submitting.entry
        entry.stored = True
        entry.waiting = f"the job is being looked for, since {why}"
        warn(entry.waiting, pod=entry.name)
        deadline = self._clock() + self.patience.look
        while not entry.job_id:  # the poller finds it too
            outcome = await self._ask(entry, Payload())
            if isinstance(outcome, Submitted):
                entry.has_job(outcome.job_id)
            elif isinstance(outcome, Deleted):
                raise Rejected(f"pod {entry.name} was deleted")
            elif isinstance(outcome, SbatchFailed) and _is_certain(outcome):
                return await self._refused(submitting, slurm_words(outcome.message))
            elif self._clock() > deadline:
                await self._give_up(entry, why)
            else:
                await asyncio.sleep(1)
        event("submitted", pod=entry.name, job=entry.job_id)
        return 0

    async def _give_up(self, entry: Entry, why: str) -> None:
        job_id = await self._answered(entry, partial(self._site.void, entry.pod))
        if not job_id:
            raise SubmissionRefused(_never_shown(why))
        entry.has_job(job_id)


def recall(entry: Entry) -> None:
    """A submission that was given up before this sidecar started stays so."""
    if not entry.failure:
        entry.fail(_never_shown("its submission was given up"))


def _never_shown(why: str) -> str:
    return f"Slurm never showed a job for the pod: {why}"


def _is_certain(failure: SbatchFailed) -> bool:
    """Whether there is certainly no job."""
    return classify_refusal(slurm_words(failure.message)) is not Refusal.UNKNOWN


def passes(error: BaseException) -> bool:
    """Whether asking again can help before a person has looked."""
    return _is_an_outage(error) and not isinstance(error, HostKeyRefused | AuthenticationRefused)


def _is_an_outage(error: BaseException) -> bool:
    """Whether asking again can help at all."""
    return isinstance(error, SiteError) and not isinstance(error, Superseded)
