"""Deletes are kept: until they are carried out, and by whoever has the StateFolder, two in a rolling upgrade."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from faithful_site import Account, Line, SlurmJob
from virtual_time import VirtualLoop

from remote_slurm.domain.slurm import JobState
from remote_slurm.remote.site import Cancelled
from remote_slurm.service.deletes import BATCH, LONGEST_WAIT_SECONDS, OVERTIME_SECONDS, Deletes
from remote_slurm.service.entries import Entries
from remote_slurm.service.journal import Delete, Journal, JournalError

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


def test_a_promise_stays_on_disk_until_nothing_of_the_pod_is_left_at_the_site(
    loop: VirtualLoop, tmp_path: Path
) -> None:
    """Whenever the sidecar is killed on the way, the next one goes on with it."""
    account = Account(loop.time)
    account.folders[POD] = {}
    account.jobs["101"] = SlurmJob("101", POD, JobState.COMPLETING)
    promised = Delete(POD, "ns/p", 30)
    line = Line(account, down=True)
    deletes = Deletes(line, Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    deletes.accept(promised)
    assert list(Journal(tmp_path)) == [promised]
    carry_out(loop, deletes, 60)
    assert list(Journal(tmp_path)) == [promised], "it was not even told to the site"
    entries = Entries()
    entries.add(POD)
    deletes = Deletes(line, entries, Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    line.down = False
    line.fates.append("cut after")
    carry_out(loop, deletes, 0.9)
    assert account.tombstones == {POD}
    assert list(Journal(tmp_path)) == [promised], "the answer was lost"
    carry_out(loop, deletes, 20)
    assert list(Journal(tmp_path)) == [promised], "its job is ending"
    account.end(account.jobs["101"], JobState.CANCELLED)
    carry_out(loop, deletes, 60)
    assert (account.folders, list(Journal(tmp_path)), entries.get(POD)) == ({}, [], None)


def test_a_promise_that_could_not_be_written_down_is_none(loop: VirtualLoop, tmp_path: Path) -> None:
    deletes = Deletes(Line(Account(loop.time)), Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    (tmp_path / "deletes").rmdir()
    with pytest.raises(JournalError):
        deletes.accept(Delete(POD, "ns/p", 30))
    assert POD not in deletes


def test_a_delete_that_comes_while_nothing_else_is_to_do_is_carried_out_at_once(
    loop: VirtualLoop, tmp_path: Path
) -> None:
    deletes = Deletes(Line(Account(loop.time)), Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    loop.call_later(5, deletes.accept, Delete(POD, "ns/p", 30))
    carry_out(loop, deletes, 6)
    assert len(deletes) == 0


def test_of_many_at_once_none_is_left_out(loop: VirtualLoop, tmp_path: Path) -> None:
    deletes = Deletes(Line(Account(loop.time)), Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    for number in range(2 * BATCH + 1):
        deletes.accept(Delete(f"ns-{number}", "ns/p", 30))
    loop.run_until_complete(deletes.carry_out())
    assert len(deletes) == 0


def test_a_grace_period_of_the_deletes_own_reaches_the_site_also_after_a_restart(
    loop: VirtualLoop, tmp_path: Path
) -> None:
    account = Account(loop.time)
    line = Line(account, down=True)
    deletes = Deletes(line, Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    deletes.accept(Delete(POD, "ns/p", 0, overrides=True))
    deletes.accept(Delete("ns-2", "ns/q", 30))
    line.down = False
    carry_out(loop, Deletes(line, Entries(), Journal(tmp_path), loop.time), 20)  # type: ignore[arg-type]
    assert account.told_grace == {POD: 0}


def test_an_older_sidecar_can_read_what_it_could_have_written(tmp_path: Path) -> None:
    Journal(tmp_path).add(Delete(POD, "ns/p", 0))
    (file,) = (tmp_path / "deletes").iterdir()
    assert json.loads(file.read_text()) == {"pod": POD, "name": "ns/p", "grace_seconds": 0}


class Stubborn:
    """A site with a job that ends when it is forced to; how long after it was first told, is in `waited`."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.told: float | None = None
        self.waited: list[float] = []

    async def cancel(self, pods: Mapping[str, bool], grace: Mapping[str, int]) -> Cancelled:
        assert not grace
        self.told = self.told or self.loop.time()
        if pods[POD]:
            self.waited.append(self.loop.time() - self.told)
            self.told = None
        return Cancelled(frozenset(pod for pod, force in pods.items() if force), {})


def test_a_job_has_its_grace_period_and_is_ended_by_force_after_it_each_time(loop: VirtualLoop, tmp_path: Path) -> None:
    site, grace = Stubborn(loop), 100
    deletes = Deletes(site, Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    for _ in range(2):
        deletes.accept(Delete(POD, "ns/p", grace))
        carry_out(loop, deletes, 300)
        assert len(deletes) == 0
    for waited in site.waited:
        assert grace + OVERTIME_SECONDS < waited <= grace + OVERTIME_SECONDS + LONGEST_WAIT_SECONDS
    assert len(site.waited) == 2


def test_a_folder_that_cannot_be_removed_is_told_once_and_tried_until_it_can(
    loop: VirtualLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at once: a node may have a file open for a moment yet."""
    account = Account(loop.time)
    account.folders[POD] = {}
    account.stuck[POD] = "rm: cannot remove './ns-1/volumes/d': Permission denied"
    deletes = Deletes(Line(account), Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    deletes.accept(Delete(POD, "ns/p", 30))
    carry_out(loop, deletes, 30)
    assert caplog.text.count("cannot remove") == 0
    carry_out(loop, deletes, 300)
    assert caplog.text.count("cannot remove './ns-1/volumes/d': Permission denied") == 1
    account.stuck.clear()
    carry_out(loop, deletes, 60)
    assert (account.folders, list(Journal(tmp_path))) == ({}, [])


def test_what_the_older_sidecar_accepted_and_left_is_carried_out_by_the_newer(
    loop: VirtualLoop, tmp_path: Path
) -> None:
    account = Account(loop.time)
    account.folders[POD] = {}
    line = Line(account)
    newer = Deletes(line, Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    older = Deletes(line, Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    older.accept(Delete(POD, "ns/p", 30))
    carry_out(loop, newer, 120)
    assert (account.tombstones, account.folders) == ({POD}, {})
    assert list(Journal(tmp_path)) == []


def test_a_file_of_the_journal_that_cannot_be_removed_stops_no_other_delete(
    loop: VirtualLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a file system that has become read-only; here a folder stands in its place."""
    account = Account(loop.time)
    account.folders |= {"ns-1": {}, "ns-2": {}}
    deletes = Deletes(Line(account), Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    for pod in account.folders:
        deletes.accept(Delete(pod, f"ns/{pod}", 30))
    (tmp_path / "deletes/ns-1.json").unlink()
    (tmp_path / "deletes/ns-1.json").mkdir()
    carry_out(loop, deletes, 300)
    assert (account.folders, len(deletes)) == ({}, 0)
    assert [path.name for path in (tmp_path / "deletes").iterdir()] == ["ns-1.json"]
    assert caplog.text.count("ns-1.json cannot be removed, so its delete will be carried out again: Is a dir") == 1


def test_a_file_of_the_journal_that_cannot_be_read_is_told_of_once_and_kept(
    loop: VirtualLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deletes = Deletes(Line(Account(loop.time)), Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    (tmp_path / "deletes/ns-1.json").write_text("{")
    Journal(tmp_path).add(Delete("ns-2", "ns/p", 30))
    carry_out(loop, deletes, 300)
    Journal(tmp_path).add(Delete("ns-3", "ns/p", 30))
    carry_out(loop, deletes, 300)
    assert caplog.text.count("ns-1.json cannot be read") == 1
    assert [path.name for path in (tmp_path / "deletes").iterdir()] == ["ns-1.json"], "the others are carried out"
