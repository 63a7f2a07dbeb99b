"""A long queue: only changes travel, and whatever fails on the way, what is read is what squeue printed."""

import ctypes
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from remote_slurm.errors import OutcomeUnknown, SlurmFailed
from remote_slurm.site.operation import script_text
from remote_slurm.site.operations.queue import LONG_QUEUE
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.sessions import Request, Result
from tests.hypothesis_settings import SOAK
from tests.site.account import SHELLS, Account, LocalShells

JOBS = LONG_QUEUE + 100


class WatchedShells(LocalShells):
    """Notes the size of the last reply, and where replies are kept outside of the account."""

    size = 0
    memory = Path("/none")

    def arrived(self, request: Request) -> Result:
        if found := re.search(r"sidecar=\W*(\w+)", repr(request)):
            self.memory = Path(f"/tmp/remote-slurm-queue-{found[1]}")
        result = super().arrived(request)
        self.size = len(result.output)
        return result


class Slurm:
    """Prints the rows of these jobs, by id."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.rows: dict[str, str] = {}
        account.command("squeue", 'cat "$SLURM/rows"; exit "$(cat "$SLURM/squeue.code")"')
        account.tell("squeue.code", "0")
        for job in range(JOBS):
            self.set(str(1000 + job))

    def set(self, job: str, state: str = "PENDING") -> None:
        script = self._account.root / f"ns-{job}" / "job.sh"
        self.rows[job] = f"{job}|{state}|Priority|N/A|n/a|1795478290|main|N/A|{script}\n"
        self.print(self.rows.values())

    def remove(self, job: str) -> None:
        del self.rows[job]
        self.print(self.rows.values())

    def print(self, rows: Iterable[str]) -> None:
        self._account.tell("rows", "".join(rows))

    @property
    def states(self) -> dict[str, str]:
        return {job: row.split("|")[1] for job, row in self.rows.items()}


@pytest.fixture
def watched() -> Iterator[Callable[[Account], tuple[WatchedShells, RemoteSite]]]:
    """Make the site of a new sidecar. What it keeps is removed at the end."""
    made = []

    def make(account: Account) -> tuple[WatchedShells, RemoteSite]:
        made.append(WatchedShells(account))
        return made[-1], RemoteSite(made[-1], account.config)

    yield make
    for shells in made:
        shutil.rmtree(shells.memory, ignore_errors=True)


Watched = Callable[[Account], tuple[WatchedShells, RemoteSite]]


async def read(site: RemoteSite) -> dict[str, str]:
    return {job.id: job.state.value for job in (await site.queue()).jobs}


async def test_only_changes_travel(each_account: Account, watched: Watched) -> None:
    slurm, (shells, site) = Slurm(each_account), watched(each_account)
    assert await read(site) == slurm.states
    assert not shells.memory.exists(), "the first reply was short until then"
    assert await read(site) == slurm.states
    whole = shells.size
    slurm.set("1007", "RUNNING")
    slurm.remove("1008")
    slurm.set("5000")
    assert await read(site) == slurm.states
    assert shells.size < whole / 50
    assert await read(site) == slurm.states
    assert shells.size < 200
    assert (shells.memory.stat().st_mode & 0o777, len(list(shells.memory.iterdir()))) == (0o700, 2)


async def test_a_short_queue_starts_no_further_process_and_leaves_nothing(account: Account, watched: Watched) -> None:
    slurm, (shells, site) = Slurm(account), watched(account)
    for _ in range(2):
        await read(site)
    assert shells.memory.exists()
    for name in ("awk", "tee", "find"):
        account.command(name, "exit 1")
    for job in list(slurm.rows)[10:]:
        del slurm.rows[job]
    slurm.print(slurm.rows.values())
    with pytest.raises(SlurmFailed):
        await read(site)
    (account.bin / "awk").unlink()
    (account.bin / "tee").unlink()
    for _ in range(3):
        assert await read(site) == slurm.states
    assert not shells.memory.exists()


@pytest.mark.parametrize("rows", [0, 1, JOBS // 2, JOBS])
async def test_no_job_is_gone_because_squeue_failed(account: Account, watched: Watched, rows: int) -> None:
    """It may have printed a part of the queue before."""
    slurm, (_, site) = Slurm(account), watched(account)
    for _ in range(2):
        await read(site)
    account.tell("squeue.code", "1")
    slurm.print(list(slurm.rows.values())[:rows])
    with pytest.raises(SlurmFailed, match="squeue failed with exit code 1"):
        await site.queue()
    account.tell("squeue.code", "0")
    slurm.set("1003", "RUNNING")
    assert await read(site) == slurm.states


async def test_a_squeue_that_is_killed_is_not_an_empty_queue(account: Account, watched: Watched) -> None:
    Slurm(account)
    _, site = watched(account)
    for _ in range(2):
        await read(site)
    account.command("squeue", "kill -KILL $$")
    with pytest.raises(SlurmFailed):
        await site.queue()


async def test_what_was_kept_may_be_gone_cut_off_or_another_accounts(account: Account, watched: Watched) -> None:
    slurm, (shells, site) = Slurm(account), watched(account)
    for _ in range(2):
        await read(site)
    folder = shells.memory

    def kept() -> Path:
        return max(folder.iterdir(), key=lambda path: path.stat().st_mtime)

    def cut(size: int) -> None:
        kept().write_bytes(kept().read_bytes()[:size])

    def link() -> None:
        shutil.rmtree(folder)
        folder.symlink_to(account.home)

    def garble() -> None:
        kept().write_bytes(kept().read_bytes().replace(b"PENDING", b"PERDING", 1))

    harms: tuple[Callable[[], object], ...] = (
        lambda: kept().unlink(),
        lambda: cut(0),
        lambda: cut(5000),
        lambda: cut(kept().stat().st_size - 30),
        lambda: shutil.rmtree(folder),
        garble,
        link,
    )
    for number, harm in enumerate(harms):
        harm()
        slurm.set("1399", "RUNNING" if number % 2 else "COMPLETING")
        slurm.remove(str(1100 + number))
        for _ in range(2):
            assert await read(site) == slurm.states
        if harm is garble:
            slurm, (shells, site) = Slurm(account), watched(account)
            for _ in range(2):
                await read(site)
            folder = shells.memory
    folder.unlink()


async def test_a_folder_that_is_replaced_by_a_link_is_not_followed(account: Account, watched: Watched) -> None:
    """Everybody can make and replace links in /tmp: one that leads elsewhere must neither be written to nor emptied."""
    slurm, (shells, site) = Slurm(account), watched(account)
    await read(site)
    own = account.home / "own"
    own.mkdir()
    (own / "key").touch()
    # right after the folder was looked at
    account.command("find", f'mv "{shells.memory}" "{account.home}/moved" && ln -s "{own}" "{shells.memory}"')
    for _ in range(3):
        assert await read(site) == slurm.states
    assert [each.name for each in own.iterdir()] == ["key"]
    shells.memory.unlink()


_EMPTIED = """
memory=$1 base=none polls=0
while [ "$polls" -lt 100 ] && [ -e "$2" ]; do
    polls=$((polls + 1))
    (enter_memory && forget_replies) || :
done
"""
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_folder_is_not_followed_however_fast_it_is_replaced(tmp_path: Path, shell: list[str]) -> None:
    """It is exchanged for a link, and back, while the script looks at it."""
    memory, other, own = tmp_path / "memory", tmp_path / "other", tmp_path / "own"
    for each in (memory, own):
        each.mkdir()
    (own / "key").touch()
    other.symlink_to(own)
    exchange, over = ctypes.CDLL(None).renameat2, threading.Event()

    def attack() -> None:
        while not over.is_set():
            assert exchange(_AT_FDCWD, bytes(memory), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE) == 0

    attacker = threading.Thread(target=attack)
    attacker.start()
    try:
        functions = script_text("queue").removesuffix("queue\n")
        subprocess.run([*shell, "-c", functions + _EMPTIED, "sh", memory, own / "key"], check=True)
    finally:
        over.set()
        attacker.join()
    assert (own / "key").exists()


async def test_whatever_is_lost_the_queue_is_what_squeue_printed(account: Account, watched: Watched) -> None:
    """Replies are lost, sidecars alternate and begin anew, and squeue fails in between."""
    chance = random.Random(7)  # noqa: S311 - the same in each run
    slurm = Slurm(account)
    sidecars = [watched(account), watched(account)]
    for turn in range(150 if SOAK else 24):
        for _ in range(chance.randrange(4)):
            slurm.set(str(1000 + chance.randrange(JOBS)), chance.choice(["PENDING", "RUNNING", "COMPLETED"]))
        if chance.random() < 0.5:
            slurm.remove(chance.choice(list(slurm.rows)))
        which = turn % 7 == 3
        shells, site = sidecars[which]
        shells.loses_next_reply = chance.random() < 0.3
        account.tell("squeue.code", chance.choice("00001"))
        with suppress(SlurmFailed, OutcomeUnknown):
            assert await read(site) == slurm.states
        if turn % 11 == 10:
            sidecars[which] = watched(account)
    account.tell("squeue.code", "0")
    for shells, site in sidecars:
        shells.loses_next_reply = False
        assert await read(site) == slurm.states
