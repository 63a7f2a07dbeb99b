"""Deletes are kept: until they are carried out, and by whoever has the StateFolder, two in a rolling upgrade."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from faithful_site import Account, Line, SlurmJob
from virtual_time import VirtualLoop

from remote_slurm.domain.slurm import JobState
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.entries import Entries
from remote_slurm.service.journal import Delete, Journal

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
    line.down = False
    line.fates.append("cut after")
    carry_out(loop, deletes, 0.9)
    assert account.tombstones == {POD}
    assert list(Journal(tmp_path)) == [promised], "the answer was lost"
    carry_out(loop, deletes, 20)
    assert list(Journal(tmp_path)) == [promised], "its job is ending"
    account.end(account.jobs["101"], JobState.CANCELLED)
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


def test_a_file_of_the_journal_that_cannot_be_read_is_told_of_once(
    loop: VirtualLoop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deletes = Deletes(Line(Account(loop.time)), Entries(), Journal(tmp_path), loop.time)  # type: ignore[arg-type]
    (tmp_path / "deletes/ns-1.json").write_text("{")
    carry_out(loop, deletes, 600)
    assert caplog.text.count("ns-1.json cannot be read") == 1
