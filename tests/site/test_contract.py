"""What the service may rely on: the same tests for the fake site and for the real scripts."""

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from remote_slurm.domain.plan.payload import Payload, archive
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.records import Record
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.slurm.refusals import Refusal
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.domain.status.no_log import NoLogReason
from remote_slurm.domain.submit_outcome import Attempted, Deleted, SbatchFailed, Submitted
from remote_slurm.errors import Code, OutcomeUnknown, RemoteFailed, SlurmFailed, Superseded
from remote_slurm.site.operations.abandon import Abandoned
from remote_slurm.site.operations.log import NoLog, OpenLog
from remote_slurm.site.operations.records import OtherSidecars
from remote_slurm.site.operations.release import ReleaseDecision
from remote_slurm.site.operations.sinfo import SinfoOutput
from remote_slurm.site.site import Site
from tests.site.account import SHELLS
from tests.site.contract_sites import CONTAINER, FakeLab, Lab, RealLab, ended, running

POD, OTHER, UNKNOWN = "ns-1", "ns-2", "ns-unknown"
FOR_GOOD = "sbatch: error: invalid partition specified: gold"
FOR_NOW = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
NOTHING = Payload()


def payload(pod: str = POD) -> Payload:
    script = File("job.sh", f"#!/bin/bash\n# pod ns/{pod}\n".encode(), 0o700)
    return Payload(pod, archive(pod, [script, File("secret/token", b"x", 0o600)]))


@pytest.fixture(params=["fake", "real"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    return FakeLab() if request.param == "fake" else RealLab(tmp_path / "home", SHELLS[-1])


@pytest.fixture
async def site(lab: Lab) -> Site:
    """A sidecar that owns DataRootFolder."""
    owner = lab.sidecar()
    await owner.recover()
    return owner


def without_times(records: Iterable[Record]) -> list[Record]:
    """Without the node, too: where nothing runs, it has no name."""
    return [replace(each, started=0, finished=0, node="") for each in records]


# --- submit ---


async def test_a_pod_gets_one_job_however_often_it_is_submitted(lab: Lab, site: Site) -> None:
    assert await site.submit(POD, payload()) == Submitted("101")
    assert await site.submit(POD, payload()) == Submitted("101")
    assert await lab.sidecar().submit(POD, NOTHING) == Submitted("101")
    assert lab.jobs() == {"101": JobState.PENDING}


async def test_pods_that_are_submitted_together_get_a_job_each(lab: Lab, site: Site) -> None:
    pods = [f"ns-{number}" for number in range(9)]
    outcomes = await asyncio.gather(*(site.submit(pod, payload(pod)) for pod in pods))
    assert {outcome.job_id for outcome in outcomes if isinstance(outcome, Submitted)} == lab.jobs().keys()
    assert len(lab.jobs()) == len(pods)


async def test_a_lost_reply_does_not_make_a_second_job(lab: Lab, site: Site) -> None:
    lab.lose_next_reply(site)
    with pytest.raises(OutcomeUnknown):
        await site.submit(POD, payload())
    assert await site.submit(POD, payload()) == Submitted("101")
    assert lab.jobs().keys() == {"101"}


async def test_a_pod_without_files_is_not_submitted(lab: Lab, site: Site) -> None:
    with pytest.raises(RemoteFailed, match="files could not be written"):
        await site.submit(POD, NOTHING)
    assert lab.jobs() == {}


async def test_a_refusal_stays_until_it_is_withdrawn(lab: Lab, site: Site) -> None:
    lab.refuse(FOR_GOOD)
    refused = SbatchFailed(Refusal.FOR_GOOD, "invalid partition specified: gold")
    assert await site.submit(POD, payload()) == refused
    assert await lab.sidecar().submit(POD, NOTHING) == refused
    await site.withdraw(POD, keep_folder=False)
    assert (await site.survey()).pods == frozenset()
    assert await site.submit(POD, payload()) == Submitted("101")


async def test_a_pod_that_is_refused_for_now_is_submitted_again(lab: Lab, site: Site) -> None:
    lab.refuse(FOR_NOW)
    assert await site.submit(POD, payload()) == SbatchFailed(Refusal.FOR_NOW, "QOSMaxSubmitJobPerUserLimit")
    await site.withdraw(POD, keep_folder=True)
    known = await site.survey()
    assert (known.pods, known.unfinished, known.attempted) == ({POD}, {POD}, {})
    assert await site.submit(POD, NOTHING) == Submitted("101")
    assert (await site.survey()).job_ids == {POD: "101"}


async def unknown_outcome(lab: Lab, site: Site) -> None:
    """sbatch was killed, and its job 101 exists."""
    lab.kill_sbatch()
    with suppress(OutcomeUnknown):
        assert await site.submit(POD, payload()) == Attempted()


async def test_an_attempt_without_an_id_is_never_repeated(lab: Lab, site: Site) -> None:
    await unknown_outcome(lab, site)
    assert await site.submit(POD, payload()) == Attempted()
    known = await site.survey()
    assert (known.unfinished, known.job_ids, known.attempted.keys()) == ({POD}, {}, {POD})
    assert [job.pod for job in (await site.queue()).jobs] == [POD]
    assert lab.start(POD, "101")
    assert await site.submit(POD, NOTHING) == Submitted("101")
    assert lab.jobs().keys() == {"101"}


async def test_a_job_of_an_abandoned_pod_runs_nothing(lab: Lab, site: Site) -> None:
    await unknown_outcome(lab, site)
    assert await site.abandon(POD) == Abandoned()
    assert (await site.survey()).given_up == {POD}
    assert not lab.start(POD, "101")
    assert await site.abandon(POD) == Abandoned()


async def test_a_job_that_runs_is_not_abandoned(lab: Lab, site: Site) -> None:
    await unknown_outcome(lab, site)
    assert lab.start(POD, "101")
    assert await site.abandon(POD) == Abandoned("101")


async def test_a_pod_whose_fence_is_closed_runs_nothing(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    assert await site.close_fences([POD]) == {POD}
    known = await site.survey()
    assert (known.cancelled, known.given_up, known.job_ids) == ({POD}, set(), {POD: "101"})
    assert not lab.start(POD, "101")
    assert await site.close_fences([POD]) == {POD}


async def test_the_fence_of_a_job_that_runs_is_not_closed(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    assert lab.start(POD, "101")
    assert await site.close_fences([POD]) == set()


async def test_of_two_jobs_of_a_pod_one_runs(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    assert lab.start(POD, "300")
    assert not lab.start(POD, "101")
    assert await site.submit(POD, NOTHING) == Submitted("300")


# --- delete ---


@pytest.mark.parametrize("force", [False, True])
async def test_a_pending_job_is_cancelled_at_once(lab: Lab, site: Site, *, force: bool) -> None:
    await site.submit(POD, payload())
    assert not (await site.delete({POD: force})).stuck
    assert lab.jobs() == {"101": JobState.CANCELLED}
    assert (await site.delete({POD: force})).gone == {POD}
    assert (await site.survey()).pods == frozenset()


async def test_a_running_job_has_its_grace_period(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    assert (await site.delete({POD: False}, {POD: 5})).gone == frozenset()
    assert lab.jobs() == {"101": JobState.RUNNING}
    lab.end(POD, "101", 143)
    assert (await site.delete({POD: False})).gone == {POD}


async def test_a_running_job_is_killed_by_force(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    await site.delete({POD: True})
    assert lab.jobs() == {"101": JobState.CANCELLED}


async def test_a_deleted_pod_is_not_submitted_again(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    for pod in (POD, UNKNOWN):
        await site.delete({pod: True})
        assert (await site.delete({pod: True})).gone == {pod}
        assert await site.submit(pod, payload(pod)) == Deleted()
    assert (await site.survey()).deleted == {POD, UNKNOWN}
    assert not lab.start(POD, "300")


async def test_a_delete_without_squeue_leaves_a_tombstone(lab: Lab, site: Site) -> None:
    lab.break_squeue()
    with pytest.raises(SlurmFailed, match="squeue failed"):
        await site.delete({POD: False})
    assert await site.submit(POD, payload()) == Deleted()


# --- poll ---


async def test_the_queue_has_the_state_of_each_job(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    await site.submit(OTHER, payload(OTHER))
    lab.start(OTHER, "102")
    queue = await site.queue()
    assert {(job.id, job.pod, job.state) for job in queue.jobs} == {
        ("101", POD, JobState.PENDING),
        ("102", OTHER, JobState.RUNNING),
    }
    assert abs(queue.clock_offset) < 60


async def test_a_failed_squeue_is_not_an_empty_queue(lab: Lab, site: Site) -> None:
    lab.break_squeue()
    with pytest.raises(SlurmFailed, match="squeue failed"):
        await site.queue()


async def test_one_job_is_looked_up_with_its_node(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    await site.submit(OTHER, payload(OTHER))
    lab.start(OTHER, "102")
    job = await site.job("102")
    assert job is not None
    assert (job.id, job.pod, job.state, job.node) == ("102", OTHER, JobState.RUNNING, "n1")
    lab.end(OTHER, "102")
    job = await site.job("102")
    assert job is not None
    assert job.state is JobState.COMPLETED
    assert await site.job("999") is None
    lab.break_squeue()
    with pytest.raises(SlurmFailed, match="squeue failed"):
        await site.job("102")


async def test_each_record_is_read_once(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    assert without_times(await site.records()) == [running(POD)]
    lab.end(POD, "101", 3)
    assert without_times(await site.records()) == [ended(POD, 3)]
    assert await site.records() == []


async def test_records_of_a_lost_reply_come_again(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    lab.lose_next_reply(site)
    with pytest.raises(OutcomeUnknown):
        await site.records()
    assert without_times(await site.records()) == [running(POD)]


async def test_a_guest_reads_records_and_takes_none(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    guest = lab.sidecar(owner=False)
    await guest.recover()
    for reader in (guest, guest, site):
        assert without_times(await reader.records([POD])) == [running(POD)]
        assert lab.has_secrets(POD) is (reader is guest)


async def test_records_and_fences_of_some_pods(lab: Lab, site: Site) -> None:
    for pod, job_id in ((POD, "101"), (OTHER, "102")):
        await site.submit(pod, payload(pod))
        lab.start(pod, job_id)
    settled = await site.inspect_pods([POD, UNKNOWN])
    assert without_times(settled.records) == [running(POD)]
    assert settled.fences == {POD: "101"}


async def test_a_site_without_accounting_is_reported_by_its_code(site: Site) -> None:
    await site.submit(POD, payload())
    with pytest.raises(SlurmFailed) as failed:
        await site.accounting(["101"])
    assert failed.value.code is Code.ACCOUNTING_DISABLED


async def test_the_accounting_knows_ended_jobs(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.enable_accounting()
    lab.start(POD, "101")
    lab.end(POD, "101")
    (job,) = await site.accounting(["101"])
    assert (job.id, job.state, job.may_be_of(POD, None)) == ("101", JobState.COMPLETED, True)


async def test_the_output_files_of_jobs(site: Site) -> None:
    await site.submit(POD, payload())
    assert {job: path.split("/")[-2] for job, path in (await site.outputs(["101"])).items()} == {"101": POD}


# --- recover ---


async def test_the_site_remembers_pods_jobs_and_records(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    await site.submit(OTHER, payload(OTHER))
    lab.start(POD, "101")
    await site.records()
    known = await lab.sidecar().recover()
    assert (known.pods, known.job_ids) == ({POD, OTHER}, {POD: "101", OTHER: "102"})
    assert without_times(known.records) == [running(POD)]
    assert (known.deleted, known.unfinished - known.job_ids.keys(), known.half_deleted) == (set(), set(), set())


async def test_only_the_owner_finishes_a_delete_of_another_sidecar(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    await site.delete({POD: False})
    assert (await lab.sidecar(owner=False).recover()).half_deleted == frozenset()
    assert (await lab.sidecar().recover()).half_deleted == {POD}


async def test_the_older_sidecar_does_not_withdraw_abandon_release_or_fetch(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    node = lab.node_folder(POD, "101")
    newer = lab.sidecar()
    await newer.recover()
    for operation in (
        site.withdraw(POD, keep_folder=True),
        site.abandon(POD),
        site.close_fences([POD]),
        site.release([(POD, "101", ReleaseDecision.YES)]),
        site.fetch(POD, node),
        site.tend_libraries(),
    ):
        with pytest.raises(Superseded):
            await operation
    assert await newer.fetch(POD, node)


async def test_two_sidecars_notice_each_other(lab: Lab, site: Site) -> None:
    newer = lab.sidecar()
    await newer.recover()
    await site.records()
    before = site.other_sidecars.newer_mark
    await newer.records()
    await site.records()
    assert None not in (before, site.other_sidecars.newer_mark)
    assert before != site.other_sidecars.newer_mark
    assert newer.other_sidecars == OtherSidecars()
    await site.submit(POD, payload())
    await newer.records()
    assert newer.other_sidecars.older_acted
    assert (await newer.survey()).job_ids == {POD: "101"}
    assert newer.other_sidecars == OtherSidecars()
    assert await newer.submit(OTHER, payload(OTHER)) == await site.submit(OTHER, NOTHING) == Submitted("102")
    await site.delete({OTHER: False})
    assert await newer.submit(OTHER, NOTHING) == Deleted()


async def test_a_guest_is_not_superseded(lab: Lab, site: Site) -> None:
    lab.refuse(FOR_NOW)
    await site.submit(POD, payload())
    guest = lab.sidecar(owner=False)
    await guest.recover()
    await guest.withdraw(POD, keep_folder=True)
    assert await guest.submit(POD, NOTHING) == Submitted("101")


# --- no shared file system ---


async def test_a_held_job_of_a_wanted_pod_is_released(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.hold(POD, "101")
    assert [job.reason for job in (await site.queue()).jobs] == ["JobHeldUser"]
    assert (await site.release([(POD, "101", ReleaseDecision.NO)])).done == {"101"}
    assert [job.reason for job in (await site.queue()).jobs] == ["JobHeldUser"]
    assert (await site.release([(POD, "101", ReleaseDecision.YES)])).done == {"101"}
    assert [job.reason for job in (await site.queue()).jobs] == ["None"]


@pytest.mark.parametrize("decision", ReleaseDecision)
async def test_a_held_job_of_a_deleted_pod_is_cancelled(lab: Lab, site: Site, decision: ReleaseDecision) -> None:
    await site.submit(POD, payload())
    await site.delete({OTHER: True})
    lab.start(OTHER, "300")
    lab.hold(POD, "101")
    await site.delete({POD: False})
    assert (await site.release([(POD, "101", decision)])).done == {"101"}
    assert lab.jobs()["101"] is JobState.CANCELLED


async def test_a_held_second_job_is_cancelled(lab: Lab, site: Site) -> None:
    await unknown_outcome(lab, site)
    lab.start(POD, "300")
    assert (await site.release([(POD, "101", ReleaseDecision.YES)])).done == {"101"}
    assert lab.jobs() == {"101": JobState.CANCELLED, "300": JobState.RUNNING}


async def test_nothing_is_fetched_for_a_pod_without_a_folder(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    node = lab.node_folder(POD, "101")
    assert not await site.fetch(UNKNOWN, node)
    assert await site.fetch(POD, node)


# --- logs ---


async def read(site: Site, what: LogSlice, *, over: bool = False) -> tuple[int, bytes]:
    log = await site.open_log(what, over=over)
    assert isinstance(log, OpenLog)
    return log.start, b"".join([chunk async for chunk in log.chunks])


async def test_why_there_is_no_log(lab: Lab, site: Site) -> None:
    assert await site.open_log(LogSlice(POD, CONTAINER), over=False) == NoLog(NoLogReason("nofolder"))
    await site.submit(POD, payload())
    assert await site.open_log(LogSlice(POD, CONTAINER), over=False) == NoLog(NoLogReason("waiting"))
    lab.log(POD, "text\n")
    assert await site.open_log(LogSlice(POD, CONTAINER, previous=True), over=False) == NoLog(NoLogReason("noprevious"))


@pytest.mark.parametrize(
    ("part", "start", "text"),
    [
        ({}, 0, b"one\ntwo\nthree\n"),
        ({"lines": 1}, 8, b"three\n"),
        ({"lines": 0}, 14, b""),
        ({"lines": 2, "tail_bytes": 8}, 6, b"o\nthree\n"),
        ({"lines": 1, "tail_bytes": 8}, 8, b"three\n"),
        ({"lines": 2, "tail_bytes": 99}, 4, b"two\nthree\n"),
        ({"offset": 4}, 4, b"two\nthree\n"),
        ({"limit_bytes": 5}, 0, b"one\nt"),
    ],
)
async def test_a_part_of_a_log(lab: Lab, site: Site, part: dict[str, int], start: int, text: bytes) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    lab.log(POD, "one\ntwo\nthree\n")
    slice_of: Callable[..., LogSlice] = LogSlice
    assert await read(site, slice_of(POD, CONTAINER, **part)) == (start, text)


async def test_a_log_that_has_ended_has_a_length(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    lab.log(POD, "text\n")
    lab.end(POD, "101")
    log = await site.open_log(LogSlice(POD, CONTAINER, follow=True), over=False)
    assert isinstance(log, OpenLog)
    assert (log.length, log.run) == (5, "0.0")
    assert b"".join([chunk async for chunk in log.chunks]) == b"text\n"


async def test_a_pod_that_is_over_has_an_empty_log_at_least(site: Site) -> None:
    await site.submit(POD, payload())
    assert await read(site, LogSlice(POD, CONTAINER), over=True) == (0, b"")


# --- look ---


@pytest.mark.parametrize("words", ["No space left on device", "Disk quota exceeded"])
async def test_whether_pods_can_be_stored(lab: Lab, site: Site, words: str) -> None:
    await site.try_store()
    lab.fill(f"head: write error: {words}")
    with pytest.raises(RemoteFailed, match=f"cannot be written: .*{words}") as failed:
        await site.try_store()
    assert failed.value.code is Code.NO_SPACE
    lab.fill("")
    await site.try_store()
    assert (await site.survey()).pods == frozenset()


async def test_pods_that_share_scripts_run_after_the_scripts_were_looked_after(lab: Lab, site: Site) -> None:
    sent = [replace(payload(pod), scripts={"runner.sh": b"# the runner\n"}) for pod in (POD, OTHER)]
    await site.tend_libraries()
    assert await site.submit(POD, sent[0]) == Submitted("101")
    await site.tend_libraries()
    assert await site.submit(OTHER, sent[1]) == Submitted("102")
    assert lab.start(POD, "101")
    assert lab.start(OTHER, "102")


async def test_sinfo_for_people(lab: Lab, site: Site) -> None:
    assert await site.sinfo() == SinfoOutput("PARTITION AVAIL\n")
    lab.break_sinfo()
    assert "Access/permission denied" in (await site.sinfo()).failure


async def test_the_output_of_the_resource_script(lab: Lab, site: Site) -> None:
    lab.resource_script('{"cpu": 4}')
    assert json.loads(await site.resources()) == {"cpu": 4}
    lab.resource_script("{}", exit_code=3)
    with pytest.raises(RemoteFailed, match=r"ended with exit code 3 \(to people\): run it as the account"):
        await site.resources()


async def test_the_list_has_all_pods_with_their_jobs(lab: Lab, site: Site) -> None:
    await site.submit(POD, payload())
    lab.start(POD, "101")
    (listed,) = await site.list_pods()
    assert (listed.pod, listed.job_id) == (POD, "101")
    assert listed.age is not None
    assert listed.age < 3600
    assert without_times(listed.records) == [running(POD)]
