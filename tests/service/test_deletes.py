"""Deletes are kept: until they are carried out, by any sidecar with the StateFolder, two in a rolling upgrade."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.deletes import BATCH, LONGEST_WAIT_SECONDS, OVERTIME_SECONDS, Deletes
from remote_slurm.service.journal import Delete, Journal, JournalError
from remote_slurm.service.pod_store import PodStore
from remote_slurm.site.operations.delete import DeleteResult
from remote_slurm.site.site import OWN_GRACE
from tests.fake_site import FakeAccount, FakeSite, SlurmJob
from tests.service.logged import Logged
from tests.service.virtual_time import VirtualLoop

POD = "ns-1"


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    made = VirtualLoop()
    yield made
    made.close()


def carry_out(loop: VirtualLoop, deletes: Deletes, seconds: float) -> None:
    async def run() -> None:
        running = asyncio.create_task(deletes.run())
        await asyncio.sleep(seconds)
        running.cancel()

    loop.run_until_complete(run())


def test_a_delete_stays_on_disk_until_nothing_of_the_pod_is_left(loop: VirtualLoop, tmp_path: Path) -> None:
    """Whenever the sidecar is killed on the way, the next one goes on with it."""
    account = FakeAccount(loop.time)
    account.folders[POD] = {}
    account.jobs["101"] = SlurmJob("101", POD, JobState.COMPLETING)
    promised = Delete(POD, "ns/p", 30)
    line = FakeSite(account, down=True)
    deletes = Deletes(line, PodStore(), Journal(tmp_path), loop.time)
    deletes.accept(promised)
    assert list(Journal(tmp_path)) == [promised]
    carry_out(loop, deletes, 60)
    assert list(Journal(tmp_path)) == [promised], "it was not even sent to the site"
    pod_store = PodStore()
    pod_store.add(POD)
    deletes = Deletes(line, pod_store, Journal(tmp_path), loop.time)
    line.down = False
    line.fates.append("cut after")
    carry_out(loop, deletes, 0.9)
    assert account.tombstones == {POD}
    assert list(Journal(tmp_path)) == [promised], "the answer was lost"
    carry_out(loop, deletes, 20)
    assert list(Journal(tmp_path)) == [promised], "its job is ending"
    account.end(account.jobs["101"], JobState.CANCELLED)
    carry_out(loop, deletes, 60)
    assert (account.folders, list(Journal(tmp_path)), pod_store.get(POD)) == ({}, [], None)


def test_a_promise_that_could_not_be_written_down_is_none(loop: VirtualLoop, tmp_path: Path) -> None:
    deletes = Deletes(FakeSite(FakeAccount(loop.time)), PodStore(), Journal(tmp_path), loop.time)
    (tmp_path / "deletes").rmdir()
    with pytest.raises(JournalError):
        deletes.accept(Delete(POD, "ns/p", 30))
    assert POD not in deletes


def test_a_delete_is_carried_out_at_once_if_nothing_else_is_to_do(loop: VirtualLoop, tmp_path: Path) -> None:
    deletes = Deletes(FakeSite(FakeAccount(loop.time)), PodStore(), Journal(tmp_path), loop.time)
    loop.call_later(5, deletes.accept, Delete(POD, "ns/p", 30))
    carry_out(loop, deletes, 6)
    assert len(deletes) == 0


def test_of_many_at_once_none_is_left_out(loop: VirtualLoop, tmp_path: Path) -> None:
    deletes = Deletes(FakeSite(FakeAccount(loop.time)), PodStore(), Journal(tmp_path), loop.time)
    for number in range(2 * BATCH + 1):
        deletes.accept(Delete(f"ns-{number}", "ns/p", 30))
    loop.run_until_complete(deletes.carry_out())
    assert len(deletes) == 0


def test_deletes_that_arrive_one_after_another_share_a_script(loop: VirtualLoop, tmp_path: Path) -> None:
    site = FakeSite(FakeAccount(loop.time))
    deletes = Deletes(site, PodStore(), Journal(tmp_path), loop.time)
    for number in range(100):
        loop.call_later(5 + number / 100, deletes.accept, Delete(f"ns-{number}", "ns/p", 30))
    carry_out(loop, deletes, 10)
    assert len(deletes) == 0
    assert site.asked["delete"] <= 2


def test_a_deletes_own_grace_period_reaches_the_site_after_a_restart(loop: VirtualLoop, tmp_path: Path) -> None:
    account = FakeAccount(loop.time)
    line = FakeSite(account, down=True)
    deletes = Deletes(line, PodStore(), Journal(tmp_path), loop.time)
    deletes.accept(Delete(POD, "ns/p", 0, overrides=True))
    deletes.accept(Delete("ns-2", "ns/q", 30))
    line.down = False
    carry_out(loop, Deletes(line, PodStore(), Journal(tmp_path), loop.time), 20)
    assert account.told_grace == {POD: 0}


def test_an_older_sidecar_can_read_what_it_could_have_written(tmp_path: Path) -> None:
    Journal(tmp_path).add(Delete(POD, "ns/p", 0))
    (file,) = (tmp_path / "deletes").iterdir()
    assert json.loads(file.read_text()) == {"pod": POD, "name": "ns/p", "grace_seconds": 0}


class StubbornSite(FakeSite):
    """Has a job that ends only by force; `waited` is how long after the first request it was forced to."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self.loop = loop
        self.asked_at: float | None = None
        self.waited: list[float] = []

    async def delete(self, pods: Mapping[str, bool], grace: Mapping[str, int] = OWN_GRACE) -> DeleteResult:
        assert not grace
        self.asked_at = self.asked_at or self.loop.time()
        if pods[POD]:
            self.waited.append(self.loop.time() - self.asked_at)
            self.asked_at = None
        return DeleteResult(frozenset(pod for pod, force in pods.items() if force), {})


def test_a_job_is_ended_by_force_after_its_grace_period(loop: VirtualLoop, tmp_path: Path) -> None:
    site, grace = StubbornSite(loop), 100
    deletes = Deletes(site, PodStore(), Journal(tmp_path), loop.time)
    for _ in range(2):
        deletes.accept(Delete(POD, "ns/p", grace))
        carry_out(loop, deletes, 300)
        assert len(deletes) == 0
    for waited in site.waited:
        assert grace + OVERTIME_SECONDS < waited <= grace + OVERTIME_SECONDS + LONGEST_WAIT_SECONDS
    assert len(site.waited) == 2


def test_a_folder_that_cannot_be_removed_is_logged_once_and_retried(
    loop: VirtualLoop, tmp_path: Path, logged: Logged
) -> None:
    """Not at once: a node may have a file open for a moment yet."""
    account = FakeAccount(loop.time)
    account.folders[POD] = {}
    account.stuck[POD] = "rm: cannot remove './ns-1/volumes/d': Permission denied"
    deletes = Deletes(FakeSite(account), PodStore(), Journal(tmp_path), loop.time)
    deletes.accept(Delete(POD, "ns/p", 30))
    carry_out(loop, deletes, 30)
    message = "cannot remove the folder of a deleted pod, trying again"
    assert logged.with_message(message) == []
    carry_out(loop, deletes, 300)
    assert [line.fields["reason"] for line in logged.with_message(message)] == [account.stuck[POD]]
    account.stuck.clear()
    carry_out(loop, deletes, 60)
    assert (account.folders, list(Journal(tmp_path))) == ({}, [])


def test_the_newer_sidecar_carries_out_deletes_of_the_older_one(loop: VirtualLoop, tmp_path: Path) -> None:
    account = FakeAccount(loop.time)
    account.folders[POD] = {}
    line = FakeSite(account)
    newer = Deletes(line, PodStore(), Journal(tmp_path), loop.time)
    older = Deletes(line, PodStore(), Journal(tmp_path), loop.time)
    older.accept(Delete(POD, "ns/p", 30))
    carry_out(loop, newer, 120)
    assert (account.tombstones, account.folders) == ({POD}, {})
    assert list(Journal(tmp_path)) == []


def test_a_journal_file_that_cannot_be_removed_stops_no_other_delete(
    loop: VirtualLoop, tmp_path: Path, logged: Logged
) -> None:
    """As on a file system that has become read-only; here a folder is in its place."""
    account = FakeAccount(loop.time)
    account.folders |= {"ns-1": {}, "ns-2": {}}
    deletes = Deletes(FakeSite(account), PodStore(), Journal(tmp_path), loop.time)
    for pod in account.folders:
        deletes.accept(Delete(pod, f"ns/{pod}", 30))
    (tmp_path / "deletes/ns-1.json").unlink()
    (tmp_path / "deletes/ns-1.json").mkdir()
    carry_out(loop, deletes, 300)
    assert (account.folders, len(deletes)) == ({}, 0)
    assert [path.name for path in (tmp_path / "deletes").iterdir()] == ["ns-1.json"]
    (line,) = logged.with_message("cannot remove a journal file, its delete will be carried out again")
    assert line.fields == {"path": tmp_path / "deletes/ns-1.json", "reason": "Is a directory"}


def test_a_journal_file_that_cannot_be_read_is_logged_once_and_kept(
    loop: VirtualLoop, tmp_path: Path, logged: Logged
) -> None:
    deletes = Deletes(FakeSite(FakeAccount(loop.time)), PodStore(), Journal(tmp_path), loop.time)
    (tmp_path / "deletes/ns-1.json").write_text("{")
    Journal(tmp_path).add(Delete("ns-2", "ns/p", 30))
    carry_out(loop, deletes, 300)
    Journal(tmp_path).add(Delete("ns-3", "ns/p", 30))
    carry_out(loop, deletes, 300)
    (line,) = logged.with_message("cannot read a journal file, leaving it")
    assert line.fields["path"] == tmp_path / "deletes/ns-1.json"
    assert [path.name for path in (tmp_path / "deletes").iterdir()] == ["ns-1.json"], "the others are carried out"
