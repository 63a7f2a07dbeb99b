"""A look at the site is only as good as the least of its answers: what failed is said, until all of it succeeds."""

from dataclasses import replace

import pytest
from watched import Watched

from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.errors import RemoteFailed, Superseded
from remote_slurm.remote.site import Wanted
from remote_slurm.service.poller import LOST_SECONDS

FULL = RemoteFailed("the records cannot be moved: No space left on device")


@pytest.mark.parametrize(
    ("question", "state", "reason", "shared_fs"),
    [
        ("records", JobState.RUNNING, "", True),
        ("settle", JobState.COMPLETED, "", True),
        ("release", JobState.PENDING, "JobHeldUser", False),
    ],
)
async def test_what_fails_beside_a_good_squeue_is_said_until_it_is_over(
    question: str, state: JobState, reason: str, *, shared_fs: bool
) -> None:
    watched = Watched()
    watched.site.shared_fs = shared_fs
    watched.site.jobs = (replace(watched.job, state=state, reason=reason),)
    watched.site.fails[question] = FULL
    await watched.poll()
    assert watched.poller.error == str(FULL)
    assert watched.poller.last_success is None
    watched.site.fails.clear()
    await watched.poll()
    assert (watched.poller.error, watched.poller.last_success) == ("", watched.now)


async def test_who_is_superseded_looks_no_more() -> None:
    watched = Watched()
    watched.site.fails["records"] = Superseded("a newer sidecar has the site")
    with pytest.raises(Superseded):
        await watched.poll()


async def test_a_squeue_that_fails_beside_good_records_changes_nothing_but_the_word() -> None:
    watched = Watched()
    await watched.poll()
    watched.site.squeue = RemoteFailed("squeue failed with exit code 1")
    watched.is_forgotten()
    for _ in range(10):
        assert "terminated" not in await watched.poll(600)
    assert watched.poller.error == "squeue failed with exit code 1"


async def test_a_held_job_of_an_unknown_pod_is_nobodys_only_after_the_time_that_a_file_system_may_be_late() -> None:
    watched = Watched()
    watched.site.shared_fs = False
    pod = "ns-2"
    watched.site.jobs = (Job("8", JobState.PENDING, "JobHeldUser", pod),)
    for seconds in (10, LOST_SECONDS - 1, 1, 10):
        await watched.poll(seconds)
    assert watched.site.held == [("8", Wanted.NO), ("8", Wanted.NEVER)]
    watched.entries.add(pod).has_job("8")
    for _ in range(2):
        await watched.poll()
    assert watched.site.held[2:] == [("8", Wanted.YES)]


async def test_why_a_job_stays_held_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.site.shared_fs = False
    watched.site.unreleased = "job 7: Access denied"
    watched.site.jobs = (replace(watched.job, state=JobState.PENDING, reason="JobHeldUser"),)
    for _ in range(3):
        await watched.poll()
    assert watched.site.held == [("7", Wanted.YES)] * 3
    assert caplog.text.count("its release fails, and is tried again: job 7: Access denied") == 1
