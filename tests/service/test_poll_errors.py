"""A poll succeeds only if all of its requests do: a failure is reported until all succeed."""

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest

from remote_slurm.domain.records import Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import OutcomeUnknown, RemoteFailed, SiteError, SlurmFailed, Unreachable
from remote_slurm.service.held_jobs import UNKNOWN_SECONDS
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import Poller
from remote_slurm.service.record_reader import RecordReader
from remote_slurm.site.operations.inspect_pods import Inspection
from remote_slurm.site.operations.queue import Queue
from remote_slurm.site.operations.records import OtherSidecars
from remote_slurm.site.operations.release import ReleaseDecision
from tests.fake_site import FakeSite
from tests.service.logged import Logged
from tests.service.polled_pod import Watched
from tests.service.virtual_time import VirtualLoop

FULL = RemoteFailed("the records cannot be moved: No space left on device")


@pytest.mark.parametrize(
    ("question", "state", "reason", "shared_fs"),
    [
        ("records", JobState.RUNNING, "", True),
        ("inspect_pods", JobState.COMPLETED, "", True),
        ("release", JobState.PENDING, "JobHeldUser", False),
    ],
)
async def test_what_fails_beside_a_good_squeue_is_said_until_it_is_over(
    question: str, state: JobState, reason: str, *, shared_fs: bool
) -> None:
    watched = Watched()
    watched.site.reports_in_comment = not shared_fs
    watched.site.jobs = (replace(watched.job, state=state, reason=reason),)
    watched.site.fails[question] = FULL
    await watched.poll()
    assert watched.poller.error == str(FULL)
    assert watched.poller.last_success is None
    watched.site.fails.clear()
    await watched.poll()
    assert watched.poller.error == ""
    assert watched.poller.last_success == watched.now


@pytest.mark.parametrize(
    ("error", "cause"),
    [(SlurmFailed("squeue failed", command="squeue"), "SlurmFailed"), (FULL, "RemoteFailed"), (Unreachable("no"), "")],
)
async def test_the_cause_of_a_failed_poll_is_known_until_a_poll_succeeds(error: SiteError, cause: str) -> None:
    watched = Watched()
    watched.site.fails["queue"] = error
    await watched.poll()
    assert watched.poller.cause == cause
    watched.site.fails.clear()
    await watched.poll()
    assert watched.poller.cause == ""


async def test_who_is_superseded_looks_on_and_releases_nothing() -> None:
    watched = Watched()
    watched.site.reports_in_comment = True
    watched.site.jobs = (replace(watched.job, state=JobState.PENDING, reason="JobHeldUser"),)
    watched.site.other_sidecars = OtherSidecars(newer_mark="2 a")
    await watched.poll()
    assert (watched.poller.error, watched.site.released) == ("", [])


async def test_a_squeue_that_fails_beside_good_records_changes_no_pod() -> None:
    watched = Watched()
    await watched.poll()
    watched.site.fails["queue"] = RemoteFailed("squeue failed with exit code 1")
    watched.is_forgotten()
    for _ in range(10):
        assert "terminated" not in await watched.poll(600)
    assert watched.poller.error == "squeue failed with exit code 1"


async def test_a_held_job_of_an_unknown_pod_is_cancelled_after_ten_minutes() -> None:
    watched = Watched()
    watched.site.reports_in_comment = True
    pod = "ns-2"
    watched.site.jobs = (Job("8", JobState.PENDING, "JobHeldUser", pod),)
    for seconds in (10, UNKNOWN_SECONDS - 1, 1, 10):
        await watched.poll(seconds)
    assert watched.site.released == [("8", ReleaseDecision.NO), ("8", ReleaseDecision.NEVER)]
    watched.pod_store.add(pod).set_job_id("8")
    for _ in range(2):
        await watched.poll()
    assert watched.site.released[2:] == [("8", ReleaseDecision.YES)]


async def test_why_a_job_stays_held_is_logged_once(logged: Logged) -> None:
    watched = Watched()
    watched.site.reports_in_comment = True
    watched.site.unreleased = "Access denied"
    watched.site.jobs = (replace(watched.job, state=JobState.PENDING, reason="JobHeldUser"),)
    for _ in range(3):
        await watched.poll()
    assert watched.site.released == [("7", ReleaseDecision.YES)] * 3
    (line,) = logged.with_message("cannot release a held job")
    assert line.fields == {"pod": watched.job.pod, "job": "7", "reason": "Access denied"}


class TimedSite(FakeSite):
    """Notes when squeue was called, in whole seconds since the loop was made."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self.round_trip = 0
        self.jobs: tuple[Job, ...] = ()
        self.polled: list[int] = []
        self.early: list[bool] = []
        self._loop = loop

    async def queue(self) -> Queue:
        self.polled.append(round(self._loop.passed))
        return Queue(self.jobs, 0.0, {})

    async def records(self, ended: Iterable[str] = (), *, early: bool = False) -> list[Record]:
        self.early.append(early)
        return await super().records(ended, early=early)


@pytest.mark.parametrize(("interval", "idle"), [(1, 3), (10, 30), (20, 30), (100, 100)])
def test_a_site_with_nothing_to_wait_for_is_polled_less_often(interval: int, idle: int) -> None:
    loop = VirtualLoop()
    site, pod_store = TimedSite(loop), PodStore()
    poller = Poller(site, pod_store, interval, loop.time)

    async def scenario() -> None:
        running = asyncio.create_task(poller.run())
        await asyncio.sleep(2 * idle + 0.5)
        tracked = pod_store.add("ns-1")  # and its sbatch takes a while
        await asyncio.sleep(2 * interval)
        site.jobs = (Job("9", JobState.RUNNING, pod="of-another-sidecar"),)
        await asyncio.sleep(2 * interval)
        tracked.fail("no such partition")
        await asyncio.sleep(2 * idle)
        running.cancel()

    loop.run_until_complete(scenario())
    loop.close()
    assert site.polled[:3] == [0, idle, 2 * idle]
    busy = site.polled[3:]
    assert {after - before for before, after in itertools.pairwise(busy)} == {interval}
    assert busy[0] - 2 * idle <= interval


def test_a_submitted_job_ends_the_longer_interval() -> None:
    loop = VirtualLoop()
    site, pod_store = TimedSite(loop), PodStore()
    poller = Poller(site, pod_store, 10, loop.time)

    async def scenario() -> None:
        running = asyncio.create_task(poller.run())
        await asyncio.sleep(15)
        pod_store.add("ns-1").set_job_id("9")
        poller.poll_soon()
        await asyncio.sleep(6)
        running.cancel()

    loop.run_until_complete(scenario())
    loop.close()
    assert site.polled == [0, 17]
    assert site.early == [False, True, False]


class HangingSite(TimedSite):
    """Reading records fails after its deadline while the file system hangs."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(loop)
        self.hangs = False
        self.reading = self.most_at_once = 0

    async def records(self, ended: Iterable[str] = (), *, early: bool = False) -> list[Record]:
        self.reading += 1
        self.most_at_once = max(self.most_at_once, self.reading)
        try:
            if self.hangs:
                await asyncio.sleep(30)
                raise NO_REPLY
            return await super().records(ended, early=early)
        finally:
            self.reading -= 1

    async def inspect_pods(self, pods: Iterable[str]) -> Inspection:
        if self.hangs:
            await asyncio.sleep(30)
            raise NO_REPLY
        return await super().inspect_pods(pods)


NO_REPLY = OutcomeUnknown("records did not reply within 30 s")


@pytest.mark.parametrize("submitted", [False, True])
def test_squeue_does_not_wait_for_a_file_system_that_hangs(*, submitted: bool) -> None:
    loop = VirtualLoop()
    site, pod_store = HangingSite(loop), PodStore()
    poller = Poller(site, pod_store, 10, loop.time)
    site.jobs = (Job("9", JobState.PENDING, pod="ns-1"), Job("8", JobState.RUNNING, pod="ns-2"))
    for each in site.jobs:
        pod_store.add(each.pod).set_job_id(each.id)
    states: list[str] = []

    async def scenario() -> None:
        running = asyncio.create_task(poller.run())
        await asyncio.sleep(5)
        site.hangs = True
        if submitted:
            poller.poll_soon()  # as each submission does
        site.jobs = (Job("9", JobState.RUNNING, pod="ns-1"),)  # and the other has ended
        await asyncio.sleep(17)
        states.extend(each.job.state.name for each in pod_store if each.job is not None)
        await asyncio.sleep(40)
        states.append(poller.error)
        site.hangs = False
        await asyncio.sleep(60)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    loop.run_until_complete(scenario())
    loop.close()
    assert site.polled == list(range(0, 130, 10))[: len(site.polled)]
    assert len(site.polled) >= 12
    assert states == ["RUNNING", "RUNNING", str(NO_REPLY)]
    assert (poller.error, site.most_at_once, site.reading) == ("", 1, 0)


async def test_what_is_wrong_with_a_late_reading_stops_the_poller() -> None:
    """As all that no component expects; a background task is then started again."""
    reader = RecordReader(lambda _: _break(), lambda _: None)
    call = reader.begin()
    assert not await reader.has_ended(call, 0)
    await asyncio.wait({call})
    with pytest.raises(ZeroDivisionError):
        await reader.has_ended(reader.begin(), 1)


async def _break() -> None:
    await asyncio.sleep(0.1)
    raise ZeroDivisionError
