"""One pod, one job, whatever breaks, in any order: containers run once, nothing is lost, nothing is invented."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from remote_slurm.config import Config
from remote_slurm.domain.pod.model import CreateRequest, parse_pod
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import RemoteSlurmError, SubmissionRefused
from remote_slurm.service.journal import Delete, Journal
from remote_slurm.service.pods import Pods
from tests.fake_site import FOR_GOOD, FOR_NOW, LATE, TIMED_OUT, FakeAccount, FakeSite
from tests.hypothesis_settings import effort
from tests.pods import Json, key, pod, request, sh
from tests.service.virtual_time import VirtualLoop

CONFIG = Config.model_validate(
    {"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}, "StateFolder": "/none"}
)
NETWORK = st.sampled_from(["not sent", "refused", "cut before", "cut after", "frozen"])
MOOD = st.sampled_from(["well", TIMED_OUT, FOR_NOW, FOR_GOOD, "killed before sbatch", "killed after sbatch", LATE])
FATE = st.sampled_from(["well", "well", "cut before", "cut after", "frozen"])
PODS = st.integers(0, 2)
SOON = st.sampled_from([0.01, 0.1, 0.3, 5.0, 30.0])
LONG = 3600.0


class Disk(Journal):
    """A journal in memory, which outlives the sidecar."""

    def __init__(self) -> None:
        self.deletes: dict[str, Delete] = {}

    def add(self, delete: Delete) -> None:
        self.deletes[delete.pod] = delete

    def done(self, pod: str) -> None:
        self.deletes.pop(pod, None)

    def __iter__(self) -> Iterator[Delete]:
        return iter(list(self.deletes.values()))


def _pod(number: int) -> Json:
    """With a uid that is the same each time: whatever depends on the order of names can be repeated."""
    body = pod(sh("c", "true"))
    body["metadata"] |= {"name": f"pod-{number}", "uid": f"00000000-0000-4000-8000-00000000000{number}"}
    return body


@dataclass
class ReportedPod:
    """The replies that Kubernetes got for a pod, and its requests."""

    body: Json
    jobs: set[str] = field(default_factory=set)
    accepted: bool = False
    failed: bool = False  # create was answered with an error: the pod has failed for good
    deleted: bool = False
    end: Json | None = None
    runs_at_end: int = 0

    @property
    def key(self) -> str:
        return key(self.body)


def _how(state: Json) -> Json:
    """The state of a container, without the message: those of a submission that was given up go with the sidecar."""
    return {
        kind: {key: value for key, value in reported.items() if key != "message"} for kind, reported in state.items()
    }


@dataclass
class Sidecar:
    """One that runs, and the creates that were sent to it."""

    line: FakeSite
    pods: Pods
    creates: list[asyncio.Task[None]] = field(default_factory=list)


class OnePodOneJob(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.account = FakeAccount(self.loop.time)
        self.disk = Disk()
        self.reported = [ReportedPod(_pod(number)) for number in range(3)]
        self.sidecars: list[Sidecar] = []  # the oldest first
        self.down = False

    # --- what happens ---

    @initialize(
        accounting=st.sampled_from(["disabled", "on"]),
        min_job_age=st.sampled_from([10.0, 300.0]),
        arrays=st.booleans(),
    )
    def begin(self, accounting: str, min_job_age: float, arrays: bool) -> None:  # noqa: FBT001 - drawn by name
        self.account.accounting, self.account.min_job_age, self.account.arrays = accounting, min_job_age, arrays
        self._start()

    @rule(number=PODS, older=st.booleans(), mood=MOOD, fate=FATE, seconds=SOON)
    def create(self, number: int, older: bool, mood: str, fate: str, seconds: float) -> None:  # noqa: FBT001 - drawn by name
        """Under the worst of circumstances, which come to this one or to another."""
        sidecar = self._ready(older=older)
        self.account.moods.append(mood)
        sidecar.line.fates.append(fate)
        sidecar.creates.append(self.loop.create_task(self._create(sidecar.pods, self.reported[number])))
        self._pass(seconds)

    @precondition(lambda self: self.account.arrays)
    @rule(numbers=st.sampled_from([(0, 1), (0, 1, 2)]), older=st.booleans(), mood=MOOD, fate=FATE, seconds=SOON)
    def create_an_array(self, numbers: tuple[int, ...], older: bool, mood: str, fate: str, seconds: float) -> None:  # noqa: FBT001 - drawn by name
        sidecar = self._ready(older=older)
        self.account.moods.append(mood)
        sidecar.line.fates.append(fate)
        sidecar.creates += [self.loop.create_task(self._create(sidecar.pods, self.reported[each])) for each in numbers]
        self._pass(seconds)

    @rule(number=PODS, older=st.booleans(), seconds=SOON)
    def delete(self, number: int, older: bool, seconds: float) -> None:  # noqa: FBT001 - drawn by name
        self.reported[number].deleted = True
        self._ready(older=older).pods.delete(parse_pod(self.reported[number].body, "delete"))
        self._pass(seconds)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 30.0, 120.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self._pass(seconds)

    @rule(fates=st.lists(NETWORK, min_size=1, max_size=4), older=st.booleans())
    def break_the_network(self, fates: list[str], older: bool) -> None:  # noqa: FBT001 - drawn by name
        self._ready(older=older).line.fates.extend(fates)

    @rule(down=st.booleans())
    def take_the_site_down_or_up(self, down: bool) -> None:  # noqa: FBT001 - drawn by name
        self.down = down
        for each in self.sidecars:
            each.line.down = down

    @precondition(lambda self: self.account.accounting != "disabled")
    @rule(state=st.sampled_from(["on", "away"]))
    def take_slurmdbd_down_or_up(self, state: str) -> None:
        self.account.accounting = state

    @rule(code=st.sampled_from([0, 3]))
    def let_jobs_go_on(self, code: int) -> None:
        for job in list(self.account.jobs.values()):
            if job.state is JobState.PENDING:
                before = dict(self.account.runs)
                self.account.start(job)
                assert job.pod not in self.account.tombstones or self.account.runs == before, "it was deleted, and runs"
            elif job.state is JobState.RUNNING:
                self.account.finish(job, code)

    @rule()
    def kill_the_sidecar_and_start_another(self) -> None:
        self._kill_all()
        self._start()

    @precondition(lambda self: len(self.sidecars) == 1)
    @rule()
    def start_another_beside_it(self) -> None:
        """As a rolling upgrade does."""
        self._start()

    @precondition(lambda self: len(self.sidecars) > 1 and self._ready(older=False) is self.sidecars[-1])
    @rule()
    def kill_the_older_one(self) -> None:
        self._kill(self.sidecars[0])

    # --- what is always so ---

    @invariant()
    def containers_run_once(self) -> None:
        assert all(runs <= 1 for runs in self.account.runs.values()), self.account.runs
        for reported in self.reported:
            if reported.end is not None:
                assert reported.runs_at_end == self.account.runs.get(reported.key, 0), (
                    "it runs, and was reported as over"
                )

    @invariant()
    def a_pod_has_one_job(self) -> None:
        pods = [job.pod for job in self.account.jobs.values()]
        assert len(pods) == len(set(pods)), pods

    @invariant()
    def nothing_is_invented(self) -> None:
        for reported in self.reported:
            for sidecar in self.sidecars:
                # of what is over the Virtual Kubelet asks no more, and the older one need not hear of it
                if reported.end is None or sidecar is self._ready(older=False):
                    for status in sidecar.pods.status([parse_pod(reported.body, "status")]):
                        self._believe(reported, status)
            assert len(reported.jobs) <= 1, reported.jobs

    def _believe(self, reported: ReportedPod, status: Json) -> None:
        """A terminal state is final, and true."""
        state = status["containers"][0]["state"]
        assert reported.end is None or reported.deleted or reported.failed or _how(state) == _how(reported.end), (
            reported.end,
            state,
        )
        if "terminated" not in state:
            return
        if reported.key in self.account.codes:
            # Kubernetes creates no pod that it has deleted; here such a create is refused, and says so for a moment
            assert reported.deleted or state["terminated"]["exitCode"] == self.account.codes[reported.key]
        else:
            assert state["terminated"]["exitCode"] != 0
            assert reported.deleted or not self.account.runs.get(reported.key), (
                "a container runs, and is reported as over"
            )
        if reported.end is None:
            reported.runs_at_end = self.account.runs.get(reported.key, 0)
        reported.end = state

    # --- what it comes to ---

    def teardown(self) -> None:
        try:
            if self.sidecars:
                self._come_to_an_end()
        finally:
            self._kill_all()
            self._do(self._cancel_what_runs_at_the_site())
            self.loop.close()

    def _come_to_an_end(self) -> None:
        for each in self.sidecars:
            each.line.down = False
            each.line.fates.clear()
        if self.account.accounting == "away":
            self.account.accounting = "on"
        self.account.moods.clear()
        for _ in range(8):
            self._pass(120)
            self.let_jobs_go_on(0)
            self.nothing_is_invented()
        self._pass(900)
        self.containers_run_once()
        self.nothing_is_invented()
        owner = self._owner.pods
        assert len(owner.deletes) == len(self.disk.deletes) == 0
        assert not owner.poller.error
        for reported in self.reported:
            self._nothing_is_lost(reported)

    def _nothing_is_lost(self, reported: ReportedPod) -> None:
        assert not self.account.active(reported.key)
        assert not (reported.deleted and reported.key in self.account.folders), "its delete was not carried out"
        # a create that fails takes back what an earlier one of the same pod had begun
        if reported.accepted and not (reported.deleted or reported.failed):
            assert reported.end is not None, "its end was never reported"
            ran = self.account.runs.get(reported.key, 0)
            assert ran == 1 or reported.end["terminated"]["exitCode"] != 0

    # --- doing it ---

    def _ready(self, *, older: bool) -> Sidecar:
        """One that Kubernetes may send a request to: both, whichever owns the site."""
        return self.sidecars[0 if older else -1]

    @property
    def _owner(self) -> Sidecar:
        """If the site was away, the older one may own it."""
        return next(each for each in reversed(self.sidecars) if not each.pods.superseded)

    def _start(self) -> None:
        self.sidecars.append(self._do(self._started()))

    async def _started(self) -> Sidecar:
        line = FakeSite(self.account, down=self.down)
        pods = Pods(line, CONFIG, self.disk, clock=self.loop.time)
        pods.start()
        return Sidecar(line, pods)

    async def _create(self, sidecar: Pods, reported: ReportedPod) -> None:
        if reported.failed:  # Kubernetes asks again, and the report of the one before does not count
            reported.failed, reported.end = False, None
        try:
            created = await sidecar.create(CreateRequest.parse(request(reported.body)))
        except SubmissionRefused:
            reported.failed = True
        except RemoteSlurmError:
            reported.failed = True
        else:
            reported.accepted = True
            reported.jobs |= {created.job_id} - {""}

    def _kill_all(self) -> None:
        for each in tuple(self.sidecars):
            self._kill(each)

    def _kill(self, sidecar: Sidecar) -> None:
        """Nothing is finished, and nobody is told."""
        self.sidecars.remove(sidecar)
        sidecar.line.dead = True
        for task in sidecar.creates:
            task.cancel()
        self._do(sidecar.pods.stop())
        if sidecar.creates:
            self._do(asyncio.gather(*sidecar.creates, return_exceptions=True))

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


OnePodOneJob.TestCase.settings = settings(effort(50), stateful_step_count=30)
TestOnePodOneJob = OnePodOneJob.TestCase
