"""A pod that is accepted, and a site that fails at the worst moment: nothing is reported as over that may go on."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.runtimes.images import PullFailure
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.submit_outcome import Attempted, Pulling, SbatchFailed, Stored, SubmitOutcome
from remote_slurm.errors import OutcomeUnknown, RemoteFailed
from remote_slurm.service.reconnect_signal import ReconnectSignal
from remote_slurm.service.submitter import Submission, Submitter
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.operations.abandon import Abandoned
from tests.fake_site import FOR_GOOD, FOR_NOW, FakeAccount, FakeSite
from tests.service.logged import Logged
from tests.service.virtual_time import VirtualLoop

POD = "ns-1"


@dataclass
class CutSite(FakeSite):
    last_words: list[SubmitOutcome] = field(default_factory=list)  # replies before the site goes down
    cut_when_giving_up: int = 0
    job_that_comes_first: str = ""
    full: bool = False

    async def submit(self, pod: str, payload: Payload) -> SubmitOutcome:
        if self.full:
            raise RemoteFailed("no space left")
        if self.last_words:
            self.down = True
            return self.last_words.pop()
        return await super().submit(pod, payload)

    async def abandon(self, pod: str) -> Abandoned:
        if self.job_that_comes_first:
            self.account.start(self.account.jobs[self.job_that_comes_first])
        if self.cut_when_giving_up:
            self.cut_when_giving_up -= 1
            raise OutcomeUnknown("the connection was cut")
        return await super().abandon(pod)


class Submitted:
    """One pod on its way; `run` lets its time pass."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.account = FakeAccount(loop.time)
        self.line = CutSite(self.account)
        self.tracked = TrackedPod(POD, "ns/p")
        self.returns = ReconnectSignal()
        self.submitter = Submitter(self.line, self.returns, clock=loop.time)
        self.task: asyncio.Task[None] | None = None

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(self._passed(seconds))

    async def _passed(self, seconds: float) -> None:
        if self.task is None:
            self.task = asyncio.create_task(self.submitter.submit(Submission(self.tracked, Payload("ns-1", b"files"))))
        await asyncio.sleep(seconds)


@pytest.fixture
def submission() -> Iterator[Submitted]:
    loop = VirtualLoop()
    made = Submitted(loop)
    yield made
    if made.task:
        made.task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_key_that_expires_while_the_job_is_looked_for_ends_nothing(submission: Submitted) -> None:
    submission.account.moods.append("killed after sbatch")
    submission.run(1)
    submission.run(5)
    submission.line.fates.extend(["refused"] * 3)
    submission.run(60)
    assert not submission.tracked.failure
    submission.account.start(submission.account.jobs["101"])
    submission.run(30)
    assert (submission.tracked.failure, submission.tracked.job_id) == ("", "101")


@pytest.mark.parametrize(
    ("words", "failure", "job"), [(FOR_NOW, "", "101"), (FOR_GOOD, "invalid partition specified: gold", "")]
)
def test_a_refusal_found_during_the_search_is_the_answer(
    submission: Submitted, words: str, failure: str, job: str
) -> None:
    """The answer was lost, and sbatch takes longer than the one who asks again waits for it."""
    submission.account.moods.append(words)
    submission.account.sbatch_seconds = 20
    submission.line.fates.append("cut after")
    submission.run(10)
    assert "is being looked for" in submission.tracked.waiting
    submission.run(120)
    assert submission.tracked.failure.endswith(failure)
    assert (bool(submission.tracked.failure), submission.tracked.job_id) == (bool(failure), job)


def test_an_outage_when_a_refusal_is_taken_back_is_waited_for(submission: Submitted) -> None:
    submission.account.moods.append(FOR_NOW)
    submission.line.fates.extend(["well", "not sent", "refused", "cut after"])
    submission.run(300)
    assert (submission.tracked.failure, submission.tracked.job_id) == ("", "101")


@pytest.mark.parametrize(
    "reported",
    [
        Stored(),
        Pulling(image="busybox"),
        Pulling(failure=PullFailure("ErrImagePull", "no route")),
        Attempted(),
        SbatchFailed.from_stderr(FOR_NOW),
    ],
    ids=["stored", "pulling", "failing", "attempted", "refused for now"],
)
def test_an_outage_however_long_ends_no_pod_whose_files_are_at_the_site(
    submission: Submitted, reported: SubmitOutcome
) -> None:
    """Kubernetes has the reply that it is accepted, or the job may exist."""
    submission.account.folders[POD] = {}
    submission.line.last_words.append(reported)
    submission.run(3600)
    assert submission.line.down
    assert (submission.tracked.failure, submission.tracked.job_id) == ("", "")
    submission.line.down = False
    submission.run(120)
    assert (submission.tracked.failure, submission.tracked.job_id) == ("", "101")


def test_an_outage_before_the_files_are_stored_fails_the_create(submission: Submitted) -> None:
    submission.line.down = True
    submission.run(submission.submitter.timeouts.create + 15)
    assert submission.tracked.failure == "no route to the site"
    submission.line.down = False
    submission.run(600)
    assert submission.account.jobs == {}


def test_a_pod_refused_for_now_is_submitted_once_the_site_returns(submission: Submitted) -> None:
    submission.account.moods.append(FOR_NOW)
    submission.run(1)
    assert submission.tracked.waiting
    submission.returns.notify()
    submission.run(1)
    assert submission.tracked.job_id == "101"


def test_giving_up_is_not_over_before_no_job_can_start_any_more(submission: Submitted) -> None:
    """A job that Slurm shows late must not run for a pod that was reported as failed."""
    submission.account.moods.append("killed after sbatch")
    submission.line.cut_when_giving_up = 3
    submission.run(600)
    assert submission.line.cut_when_giving_up == 0
    assert "never showed a job" in submission.tracked.failure
    job = submission.account.jobs["101"]
    submission.account.start(job)
    assert (job.state, submission.account.runs) == (JobState.FAILED, {})


def test_a_job_that_starts_in_the_moment_of_giving_up_is_the_pods(submission: Submitted) -> None:
    submission.account.moods.append("killed after sbatch")
    submission.line.job_that_comes_first = "101"
    submission.run(600)
    assert (submission.tracked.failure, submission.tracked.job_id) == ("", "101")
    assert submission.account.runs == {POD: 1}


def test_a_site_that_cannot_store_the_pod_is_logged_once_and_at_once(submission: Submitted, logged: Logged) -> None:
    submission.line.full = True
    submission.run(30)
    (line,) = logged.with_message("cannot submit the pod, trying again")
    assert (line.level, line.fields["pod"]) == ("WARNING", "ns/p")
    assert str(line.fields["reason"]) == "no space left"
