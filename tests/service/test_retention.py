"""KeepFinished: folders of finished pods stay until the pod is deleted, or for so long."""

from collections.abc import Mapping
from pathlib import Path

from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.remote.site import Cancelled
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.entries import Entries
from remote_slurm.service.journal import Journal
from remote_slurm.service.retention import Retention

ENDED = 1_000_000


class Emptied:
    """A site where every folder can be removed."""

    async def cancel(self, pods: Mapping[str, bool], grace: Mapping[str, int]) -> Cancelled:
        assert not grace
        return Cancelled(frozenset(pods), {})


class Kept:
    """A pod that ended, one that ended without a record, and one that runs."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.now = float(ENDED)
        self.entries = Entries()
        for name in ("ended", "lost", "running"):
            self.entries.add(name).has_job("7")
        self.entries.take([Record("ended", "main", ContainerPhase.TERMINATED, ENDED - 50, ENDED - 40, 0, 0)])
        for entry in self.entries:
            if entry.pod != "running":
                entry.settle()
        self.deletes = Deletes(Emptied(), self.entries, Journal(folder))  # type: ignore[arg-type]
        self.retention = Retention(self.entries, self.deletes, seconds, lambda: self.now)

    def removed_after(self, seconds: float) -> set[str]:
        self.now += seconds
        self.retention.look()
        return {entry.pod for entry in self.entries if entry.pod in self.deletes}


def test_they_stay_where_nothing_is_said(tmp_path: Path) -> None:
    assert Kept(tmp_path, 0).removed_after(10_000_000) == set()


def test_they_go_so_long_after_their_end_by_their_records_and_else_by_when_it_was_noticed(tmp_path: Path) -> None:
    kept = Kept(tmp_path, 100)
    assert kept.removed_after(0) == set()
    assert kept.removed_after(61) == {"ended"}
    assert kept.removed_after(40) == {"ended", "lost"}
    assert kept.removed_after(10_000_000) == {"ended", "lost"}


def test_what_is_to_go_outlasts_a_restart(tmp_path: Path) -> None:
    Kept(tmp_path, 10).removed_after(100)
    assert [delete.pod for delete in Journal(tmp_path)] == ["ended"]


async def test_how_it_ended_is_known_for_as_long_as_kubernetes_may_ask(tmp_path: Path) -> None:
    """It may not have asked for longer than that, and must not be told that the job is lost."""
    kept = Kept(tmp_path, 10)
    kept.removed_after(100)
    await kept.deletes.carry_out()
    assert len(kept.deletes) == 0
    entry = kept.entries.get("ended")
    assert entry is not None
    assert entry.view().settled
    assert kept.removed_after(100) == {"lost"}, "once only"
