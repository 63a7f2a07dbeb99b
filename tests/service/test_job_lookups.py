"""Many connections at once cost few calls of squeue."""

import asyncio

import pytest

from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.errors import SlurmFailed
from remote_slurm.service.job_lookups import JobLookups
from tests.fake_site import FakeSite, SlurmJob, instant_site


@pytest.fixture
def site() -> FakeSite:
    site = instant_site(SlurmJob("101", "team-x", JobState.RUNNING, node="n1"))
    site.round_trip = 0.05
    return site


async def test_those_who_ask_while_squeue_runs_share_the_next_call(site: FakeSite) -> None:
    lookups = JobLookups(site)
    first = asyncio.ensure_future(lookups.job("101"))
    await asyncio.sleep(0.01)
    jobs = await asyncio.gather(*(lookups.job("101") for _ in range(50)))
    assert all(job and job.node == "n1" for job in jobs)
    assert await first
    assert site.asked["job"] == 2


async def test_a_job_that_ends_while_squeue_runs_is_not_taken_for_running(site: FakeSite) -> None:
    lookups = JobLookups(site)
    first = asyncio.ensure_future(lookups.job("101"))
    await asyncio.sleep(0.01)
    site.account.jobs["101"].state = JobState.COMPLETING
    job = await lookups.job("101")
    assert job
    assert job.state is JobState.COMPLETING
    await first


async def test_a_failure_reaches_all_who_share_it_and_no_later_one(site: FakeSite) -> None:
    lookups = JobLookups(site)
    site.account.squeue_fails = "Unable to contact slurm controller"
    found = await asyncio.gather(*(lookups.job("101") for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [SlurmFailed] * 3
    site.account.squeue_fails = ""
    assert await lookups.job("101")
    assert not lookups._running
    assert not lookups._next


async def test_one_that_gives_up_ends_no_other(site: FakeSite) -> None:
    lookups = JobLookups(site)
    tasks = [asyncio.ensure_future(lookups.job("101")) for _ in range(3)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    tasks[1].cancel()
    assert await tasks[2]
