"""What Kubernetes does not ask for while it asks for others: listed, and cancelled only where that is wanted."""

import asyncio
from pathlib import Path

import pytest

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.journal import Journal
from remote_slurm.service.orphans import Asker, Orphans
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.tracked_pod import TrackedPod
from tests.fake_site import FakeSite
from tests.service.logged import Logged


class Asked:
    """Two pods with jobs, of which Kubernetes asks for some every five seconds."""

    def __init__(self, folder: Path, grace_period: float = 0, *, is_there: bool | None = None) -> None:
        self.now = 1000.0
        self.pod_store = PodStore()
        for number in (1, 2):
            self.pod_store.add(f"ns-{number}").set_job_id(str(number))
        self.deletes = Deletes(FakeSite(), self.pod_store, Journal(folder))
        self.orphans = Orphans(self.pod_store, self.deletes, grace_period, lambda: self.now, self._is_there)
        self.is_there = is_there

    async def _is_there(self, _: TrackedPod) -> bool | None:
        return self.is_there

    def pass_time(self, seconds: float, *asked: str) -> None:
        for _ in range(int(seconds / 5)):
            self.now += 5
            if asked:
                self.orphans.requested(asked)
            asyncio.run(self.orphans.check())


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
    pods.pod_store.add("ns-3").set_job_id("3")
    pods.pass_time(115, "ns-1", "ns-2")
    assert pods.orphans.found() == {}


def test_what_is_over_or_deleted_or_has_no_job_is_none(pods: Asked) -> None:
    over, deleted, waiting = (pods.pod_store.add(f"ns-{number}") for number in (3, 4, 5))
    over.job = Job("3", JobState.COMPLETED, pod="ns-3")
    over.finalize()
    deleted.set_job_id("4")
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


def test_a_cancel_is_logged_before_and_counted(tmp_path: Path, logged: Logged) -> None:
    pods = Asked(tmp_path, grace_period=900)
    pods.pass_time(300, "ns-1")
    (line,) = logged.lines
    assert (
        line.message == "Kubernetes does not ask for a pod: its job will be cancelled at the end of OrphanGracePeriod"
    )
    assert (line.fields["job"], line.fields["seconds_left"]) == ("2", 780)
    assert (pods.orphans.due(), pods.orphans.cancelled, len(pods.deletes)) == (1, 0, 0)
    pods.pass_time(605, "ns-1")
    assert (pods.orphans.due(), pods.orphans.cancelled, len(pods.deletes)) == (0, 1, 1)
    assert len(logged.with_message("cancelling an orphan: OrphanGracePeriod is over")) == 1


@pytest.mark.parametrize(("is_there", "cancelled"), [(True, 0), (False, 1), (None, 1)])
def test_a_pod_that_kubernetes_still_has_is_not_cancelled(
    tmp_path: Path, cancelled: int, *, is_there: bool | None
) -> None:
    pods = Asked(tmp_path, grace_period=900, is_there=is_there)
    pods.pass_time(1200, "ns-1")
    assert len(pods.deletes) == cancelled


def test_a_job_that_has_ended_is_no_orphan_before_its_records_are_read(tmp_path: Path) -> None:
    pods = Asked(tmp_path, grace_period=900)
    tracked = pods.pod_store.get("ns-2")
    assert tracked is not None
    tracked.job = Job("2", JobState.COMPLETED, pod="ns-2")
    pods.pass_time(1200, "ns-1")
    assert len(pods.deletes) == 0


def test_a_client_of_another_namespace_makes_no_orphans(pods: Asked) -> None:
    """The Virtual Kubelet of one namespace may be down while that of another one asks."""
    uid = "6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10"
    for number, namespace in enumerate(("team-a", "team-b", "team"), start=11):
        pods.pod_store.add(f"{namespace}-{uid}").set_job_id(str(number))
    assert pods.orphans.found() == {}
    limited = Asker("b", lambda namespace: namespace == "team-b")
    for _ in range(40):
        pods.now += 5
        pods.orphans.requested([], limited)
    assert set(pods.orphans.found()) == {f"team-b-{uid}"}
    for _ in range(40):
        pods.now += 5
        pods.orphans.requested([f"team-a-{uid}", "ns-1", "ns-2"], Asker("all", lambda _: True))
    assert set(pods.orphans.found()) == {f"team-b-{uid}", f"team-{uid}"}
