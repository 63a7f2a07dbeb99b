"""KeepFinished: folders of finished pods stay until the pod is deleted, or for so long."""

from pathlib import Path

from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.journal import Journal
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.retention import Retention
from tests.fake_site import FakeSite

ENDED = 1_000_000


class Kept:
    """A pod that ended, one that ended without a record, and one that runs."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.now = float(ENDED)
        self.pod_store = PodStore()
        for name in ("ended", "lost", "running"):
            self.pod_store.add(name).set_job_id("7")
        self.pod_store.add_records([Record("ended", "main", ContainerPhase.TERMINATED, ENDED - 50, ENDED - 40, 0, 0)])
        for tracked in self.pod_store:
            if tracked.key != "running":
                tracked.finalize()
        self.deletes = Deletes(FakeSite(), self.pod_store, Journal(folder))
        self.retention = Retention(self.pod_store, self.deletes, seconds, lambda: self.now)

    def removed_after(self, seconds: float) -> set[str]:
        self.now += seconds
        self.retention.check()
        return {tracked.key for tracked in self.pod_store if tracked.key in self.deletes}


def test_they_stay_where_nothing_is_said(tmp_path: Path) -> None:
    assert Kept(tmp_path, 0).removed_after(10_000_000) == set()


def test_pods_are_removed_after_their_end_by_records_or_first_sight(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 100)
    assert kept.removed_after(0) == set()
    assert kept.removed_after(61) == {"ended"}
    assert kept.removed_after(40) == {"ended", "lost"}
    assert kept.removed_after(10_000_000) == {"ended", "lost"}


def test_what_is_to_go_outlasts_a_restart(tmp_path: Path) -> None:
    Kept(tmp_path, 10).removed_after(100)
    assert [delete.pod for delete in Journal(tmp_path)] == ["ended"]


async def test_how_it_ended_is_known_for_as_long_as_kubernetes_may_ask(tmp_path: Path) -> None:
    """It may not have asked for longer than that, and must not get the job reported as lost."""
    kept = Kept(tmp_path, 10)
    kept.removed_after(100)
    await kept.deletes.carry_out()
    assert len(kept.deletes) == 0
    tracked = kept.pod_store.get("ended")
    assert tracked is not None
    assert tracked.view().final
    assert kept.removed_after(100) == {"lost"}, "once only"
