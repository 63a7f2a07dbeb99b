"""What Kubernetes does not ask for while it asks for others: listed, and cancelled only where that is wanted."""

import asyncio
from pathlib import Path

import pytest

from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.entries import Entries
from remote_slurm.service.journal import Journal
from remote_slurm.service.orphans import Orphans


class Asked:
    """Two pods with jobs, of which Kubernetes asks for some every five seconds."""

    def __init__(self, folder: Path, grace_period: float = 0) -> None:
        self.now = 1000.0
        self.entries = Entries()
        for number in (1, 2):
            self.entries.add(f"ns-{number}").has_job(str(number))
        self.deletes = Deletes(None, self.entries, Journal(folder))  # type: ignore[arg-type]
        self.orphans = Orphans(self.entries, self.deletes, grace_period, lambda: self.now)

    def pass_time(self, seconds: float, *asked: str) -> None:
        for _ in range(int(seconds / 5)):
            self.now += 5
            if asked:
                self.orphans.asked(asked)
            asyncio.run(self.orphans.look())


@pytest.fixture
def pods(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_what_is_not_asked_for_while_others_are_is_suspicious(pods: Asked) -> None:
    pods.pass_time(60, "ns-1", "ns-2")
    assert pods.orphans.found() == {}
    pods.pass_time(115, "ns-1")
    assert pods.orphans.found() == {}
    pods.pass_time(5, "ns-1")
    assert pods.orphans.found() == {"ns-2": 120}
    pods.pass_time(5, "ns-1", "ns-2")
    assert pods.orphans.found() == {}


def test_a_kubernetes_that_asks_for_nothing_makes_no_orphans(pods: Asked) -> None:
    pods.pass_time(5, "ns-1", "ns-2")
    pods.pass_time(3600)
    pods.pass_time(20, "ns-1")  # it is back, and comes to the second pod a little later
    assert pods.orphans.found() == {}


def test_what_was_found_at_the_start_has_the_whole_time(pods: Asked) -> None:
    pods.pass_time(600, "ns-1", "ns-2")
    pods.entries.add("ns-3").has_job("3")
    pods.pass_time(115, "ns-1", "ns-2")
    assert pods.orphans.found() == {}


def test_what_is_over_or_deleted_or_has_no_job_is_none(pods: Asked) -> None:
    over, deleted, waiting = (pods.entries.add(f"ns-{number}") for number in (3, 4, 5))
    over.job = Job("3", JobState.COMPLETED, pod="ns-3")
    over.settle()
    deleted.has_job("4")
    deleted.deleted = True
    assert not waiting.job_id
    pods.pass_time(600, "ns-1", "ns-2")
    assert pods.orphans.found() == {}


def test_none_is_cancelled_unless_a_grace_period_says_when(pods: Asked, tmp_path: Path) -> None:
    pods.pass_time(7200, "ns-1")
    assert len(pods.deletes) == 0
    cancelling = Asked(tmp_path / "other", grace_period=600)
    cancelling.pass_time(595, "ns-1")
    assert len(cancelling.deletes) == 0
    cancelling.pass_time(10, "ns-1")
    assert "ns-2" in cancelling.deletes
    assert "ns-1" not in cancelling.deletes
