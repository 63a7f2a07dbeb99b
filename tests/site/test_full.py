"""A home that is full, at each write: nothing is started twice or forgotten, and a full disk is not Slurm's no."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.submit_outcome import Deleted, Submitted
from remote_slurm.errors import Code, RemoteFailed
from remote_slurm.job import SCRIPTS
from tests.hypothesis_settings import SOAK
from tests.site.account import Account
from tests.site.local_sidecar import Counted, ended, nodes, sidecar
from tests.site.payloads import POD, packed

PAGE = 4096
ROOM = range(0, 37, 1 if SOAK else 6)


@dataclass
class Home:
    """A file system of its own, whose room the test decides: pages for data, or inodes for files and folders."""

    path: Path

    def leave(self, room: int, kind: str) -> None:
        (self.path / "other").write_text("data")  # a limit of 0 would be none
        found = os.statvfs(self.path)
        used = found.f_blocks - found.f_bfree if kind == "size" else found.f_files - found.f_ffree
        self.limit(f"{kind}={(used + room) * (PAGE if kind == 'size' else 1)}")

    def clear(self) -> None:
        self.limit("size=8m,nr_inodes=2000")

    def limit(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[list[Home]]:
    made = []
    try:
        for room in ROOM:
            path = tmp_path / f"home-{room}"
            path.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=2000", "home", path], check=True)
            made.append(Home(path))
        yield made
    finally:
        for home in made:
            subprocess.run(["umount", "--lazy", home.path], check=True)


@pytest.mark.parametrize("kind", ["size", "nr_inodes"])
async def test_a_submission_to_a_home_that_is_full_at_any_write_is_one_job(
    tmp_path: Path, homes: list[Home], kind: str
) -> None:
    async def was_enough(home: Home, room: int) -> bool:
        account = Account(tmp_path / f"account-{room}", ["sh"], str(home.path / "jobs"))
        pod = Counted.at(account)
        plan = plan_job(pod.request, account.config)
        await account.site.recover()
        home.leave(room, kind)
        enough = await taken(account, plan.pod, payload(plan, SCRIPTS))
        home.clear()
        async with sidecar(account, tmp_path / f"state-{room}") as pods, nodes(account):
            again = await pods.create(pod.request)
            status = await ended(pods, pod)
        assert account.jobs() == [again.job_id] == [status["JID"]]
        assert pod.runs == 1
        return enough

    enough = await asyncio.gather(*(was_enough(home, room) for home, room in zip(homes, ROOM, strict=True)))
    assert not enough[0]
    assert enough[-1]


async def taken(account: Account, pod: str, files: Payload) -> bool:
    try:
        outcome = await account.site.submit(pod, files)
    except RemoteFailed as error:
        assert "could not be written at the site" in str(error)  # noqa: PT017 - it may as well be taken
        assert account.jobs() == []
        return False
    assert outcome == Submitted("101")
    return True


@pytest.mark.parametrize(("kind", "room"), [("size", 60), ("nr_inodes", 20)])
async def test_a_trial_shows_that_a_home_has_no_room_for_a_pod(
    tmp_path: Path, homes: list[Home], kind: str, room: int
) -> None:
    account = Account(tmp_path / "account", ["sh"], str(homes[0].path / "jobs"))
    await account.site.recover()
    homes[0].leave(room, kind)
    with pytest.raises(RemoteFailed, match="No space left on device") as failed:
        await account.site.try_store()
    assert failed.value.code is Code.NO_SPACE
    homes[0].clear()
    await account.site.try_store()
    assert [*(account.root / ".remote-slurm" / "incoming").iterdir()] == []


async def test_a_delete_makes_room_in_a_home_that_is_full(tmp_path: Path, homes: list[Home]) -> None:
    account = Account(tmp_path / "account", ["sh"], str(homes[0].path / "jobs"))
    await account.site.submit(POD, packed())
    account.job("101", "COMPLETED", account.root / POD / "job.sh")
    homes[0].leave(0, "nr_inodes")
    assert (await account.site.delete({POD: False})).gone == {POD}
    assert not (account.root / POD).exists()
    assert await account.site.submit(POD, packed()) == Deleted()


async def test_a_delete_that_cannot_leave_a_tombstone_says_so(tmp_path: Path, homes: list[Home]) -> None:
    account = Account(tmp_path / "account", ["sh"], str(homes[0].path / "jobs"))
    await account.site.recover()
    homes[0].leave(0, "nr_inodes")
    deleted = await account.site.delete({POD: False})
    assert deleted.gone == set()
    assert deleted.stuck == {POD: "its tombstone cannot be written: DataRootFolder may be full or read-only"}


async def test_a_delete_in_a_full_home_signals_the_job(tmp_path: Path, homes: list[Home]) -> None:
    """More than once if need be, since the signal cannot be recorded."""
    account = Account(tmp_path / "account", ["sh"], str(homes[0].path / "jobs"))
    await account.site.submit(POD, packed())
    account.job("101", "RUNNING", account.root / POD / "job.sh")
    homes[0].leave(0, "nr_inodes")
    assert (await account.site.delete({POD: False})).gone == set()
    assert account.calls("scancel") == ["scancel --ctld --batch --signal=TERM 101"]
