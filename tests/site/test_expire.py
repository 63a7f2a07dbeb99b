"""What is kept at a site for a while only: tombstones for a day, what was half received or read for an hour."""

import os
import time
from pathlib import Path

import pytest

from tests.site.account import Account
from tests.site.payloads import POD

HOUR = 60  # minutes
DAY = 24 * HOUR


def aged(path: Path, minutes: int) -> Path:
    """A file that was last changed so long ago."""
    path.touch()
    when = time.time() - 60 * minutes
    os.utime(path, (when, when))
    return path


async def expire(account: Account, by: str) -> None:
    """Each sidecar that starts does it, and so does the first delete in ten minutes."""
    await (account.owner().recover() if by == "start" else account.site.delete({POD: False}))


@pytest.mark.parametrize("by", ["start", "delete"])
async def test_tombstones_go_after_a_day_with_all_that_stood_beside_them(each_account: Account, by: str) -> None:
    await each_account.site.recover()
    for pod, age in (("ns-old", DAY + 10), ("ns-new", DAY - 10)):
        aged(each_account.claims / f"{pod}.deleted", age)
        (each_account.claims / f"{pod}.job").symlink_to("deleted")
        (each_account.claims / f"{pod}.stop").mkdir()
        aged(each_account.claims / f"{pod}.attempt", 1)
    alive = aged(each_account.claims / "ns-alive.attempt", 3 * DAY)
    await expire(each_account, by)
    kept = {path.name for path in each_account.claims.iterdir() if not path.name.startswith(POD)}
    assert kept == {alive.name, "ns-new.deleted", "ns-new.job", "ns-new.stop", "ns-new.attempt"}


async def test_a_burst_of_deletes_reads_all_tombstones_once(account: Account) -> None:
    """A find over 10,000 tombstones is a load for the file system of the site."""
    site = account.site
    await site.recover()
    await site.delete({POD: False})
    aged(account.claims / "ns-old.deleted", DAY + 10)
    assert (await site.delete({POD: False})).gone == {POD}
    assert (account.claims / "ns-old.deleted").exists()


async def test_tombstones_of_a_burst_of_deletes_go_together(account: Account) -> None:
    """One process for each of 10,000 takes half a minute, and longer than a delete may on a slow file system."""
    await account.site.recover()
    account.command("rm", f'echo "$#" >>"{account.slurm}/removed"\nexec /bin/rm "$@"')
    for number in range(250):
        aged(account.claims / f"old-{number}.deleted", DAY + 10)
    await account.site.delete({POD: False})
    assert not list(account.claims.glob("old-*"))
    assert len((account.slurm / "removed").read_text().split()) < 10


@pytest.mark.parametrize("by", ["start", "delete"])
@pytest.mark.parametrize("place", ["incoming", "read"])
async def test_what_was_half_received_or_read_goes_after_an_hour(each_account: Account, place: str, by: str) -> None:
    await each_account.site.recover()
    folder = each_account.root / ".remote-slurm" / place
    aged(folder / "old", HOUR + 10)
    aged(folder / "new", HOUR - 10)
    await expire(each_account, by)
    assert [path.name for path in folder.iterdir()] == ["new"]
