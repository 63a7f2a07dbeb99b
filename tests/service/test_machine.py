"""One pod, one job, whatever breaks, in any order: containers run once, nothing is lost, nothing is invented."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from effort import effort
from faithful_site import FOR_GOOD, FOR_NOW, TIMED_OUT, Account, Line
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pods import Json, key, pod, request, sh
from virtual_time import VirtualLoop

from remote_slurm.config import Config
from remote_slurm.domain.pod import CreateRequest, parse_pod
from remote_slurm.domain.slurm import JobState
from remote_slurm.errors import RemoteSlurmError, SubmissionRefused
from remote_slurm.service.journal import Delete
from remote_slurm.service.pods import Pods

CONFIG = Config.model_validate(
    {"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}, "StateFolder": "/none"}
)
NETWORK = st.sampled_from(["not sent", "refused", "cut before", "cut after", "frozen"])
SLURM = st.sampled_from([TIMED_OUT, FOR_NOW, FOR_GOOD, "killed before sbatch", "killed after sbatch"])
PODS = st.integers(0, 3)
LONG = 3600.0


class Disk(dict[str, Delete]):
    """A journal that outlives the sidecar."""

    def add(self, delete: Delete) -> None:
        self[delete.pod] = delete

    def done(self, name: str) -> None:
        self.pop(name, None)

    def __iter__(self) -> Any:
        return iter(list(self.values()))


@dataclass
class Told:
    """What Kubernetes was told of a pod, and what it asked for."""

    body: Json = field(default_factory=lambda: pod(sh("c", "true")))
    jobs: set[str] = field(default_factory=set)
    accepted: bool = False
    failed: bool = False  # create was answered with an error: the pod has failed for good
    deleted: bool = False
    end: Json | None = None

    @property
    def key(self) -> str:
        return key(self.body)


class OnePodOneJob(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.account = Account(self.loop.time)
        self.disk = Disk()
        self.told = [Told() for _ in range(4)]
        self.creates: list[asyncio.Task[None]] = []
        self.line = Line(self.account)
        self.sidecar: Pods | None = None

    # --- what happens ---

    @initialize()
    def start(self) -> None:
        self.line = Line(self.account)
        self.sidecar = self._do(self._started())

    @rule(number=PODS)
    def create(self, number: int) -> None:
        self.creates.append(self.loop.create_task(self._create(self.sidecar, self.told[number])))
        self._pass(0.01)

    @rule(number=PODS)
    def delete(self, number: int) -> None:
        assert self.sidecar
        self.told[number].deleted = True
        self.sidecar.delete(parse_pod(self.told[number].body, "delete"))
        self._pass(0.01)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 30.0, 120.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self._pass(seconds)

    @rule(fates=st.lists(NETWORK, min_size=1, max_size=4))
    def break_the_network(self, fates: list[str]) -> None:
        self.line.fates.extend(fates)

    @rule(mood=SLURM)
    def upset_slurm(self, mood: str) -> None:
        self.account.moods.append(mood)

    @rule(down=st.booleans())
    def take_the_site_down_or_up(self, down: bool) -> None:  # noqa: FBT001 - drawn by name
        self.line.down = down

    @rule(code=st.sampled_from([0, 3]))
    def let_jobs_go_on(self, code: int) -> None:
        for job in list(self.account.jobs.values()):
            if job.state is JobState.PENDING:
                self.account.start(job)
            elif job.state is JobState.RUNNING:
                self.account.finish(job, code)

    @precondition(lambda self: self.sidecar)
    @rule()
    def kill_the_sidecar_and_start_another(self) -> None:
        self._kill()
        self.start()

    # --- what is always so ---

    @invariant()
    def containers_run_once(self) -> None:
        assert all(runs <= 1 for runs in self.account.runs.values()), self.account.runs

    @invariant()
    def nothing_is_invented(self) -> None:
        if self.sidecar is None:
            return
        for told in self.told:
            for status in self.sidecar.status([parse_pod(told.body, "status")]):
                self._believe(told, status)
            assert len(told.jobs) <= 1, told.jobs

    def _believe(self, told: Told, status: Json) -> None:
        """A terminal state is final, and true."""
        state = status["containers"][0]["state"]
        assert told.end is None or told.deleted or told.failed or state == told.end, (told.end, state)
        if "terminated" not in state:
            return
        if told.key in self.account.codes:
            assert state["terminated"]["exitCode"] == self.account.codes[told.key]
        else:
            assert state["terminated"]["exitCode"] != 0
            assert told.deleted or not self.account.runs.get(told.key), "a container runs, and is told to be over"
        told.end = state

    # --- what it comes to ---

    def teardown(self) -> None:
        try:
            if self.sidecar is not None:
                self._come_to_an_end()
        finally:
            self._kill()
            self._do(self._cancel_what_runs_at_the_site())
            self.loop.close()

    def _come_to_an_end(self) -> None:
        self.line.down = False
        self.line.fates.clear()
        self.account.moods.clear()
        for _ in range(8):
            self._pass(120)
            self.let_jobs_go_on(0)
            self.nothing_is_invented()
        self._pass(900)
        self.containers_run_once()
        self.nothing_is_invented()
        assert self.sidecar is not None
        assert len(self.sidecar.deletes) == 0
        assert not self.sidecar.poller.error
        for told in self.told:
            self._nothing_is_lost(told)

    def _nothing_is_lost(self, told: Told) -> None:
        assert not self.account.active(told.key)
        # a create that fails takes back what an earlier one of the same pod had begun
        if told.accepted and not (told.deleted or told.failed):
            assert told.end is not None, "its end was never told"
            ran = self.account.runs.get(told.key, 0)
            assert ran == 1 or told.end["terminated"]["exitCode"] != 0

    # --- doing it ---

    async def _started(self) -> Pods:
        sidecar = Pods(self.line, CONFIG, self.disk, clock=self.loop.time)  # type: ignore[arg-type]
        sidecar.start()
        return sidecar

    async def _create(self, sidecar: Pods, told: Told) -> None:
        try:
            created = await sidecar.create(CreateRequest.parse(request(told.body)))
        except SubmissionRefused:
            told.failed = True
        except RemoteSlurmError:
            told.failed = True
        else:
            told.accepted = True
            told.jobs |= {created.job_id} - {""}

    def _kill(self) -> None:
        """Nothing is finished, and nobody is told."""
        for task in self.creates:
            task.cancel()
        if self.sidecar is not None:
            self._do(self.sidecar.stop())
            self.sidecar = None
        self._do(asyncio.gather(*self.creates, return_exceptions=True)) if self.creates else None
        self.creates.clear()

    async def _cancel_what_runs_at_the_site(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _pass(self, seconds: float) -> None:
        self._do(asyncio.sleep(seconds))

    def _do(self, work: Any) -> Any:
        async def run() -> Any:
            return await work

        return self.loop.run_until_complete(run())


OnePodOneJob.TestCase.settings = settings(effort(40), stateful_step_count=30)
TestOnePodOneJob = OnePodOneJob.TestCase
