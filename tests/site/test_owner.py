"""Two sidecars on one account, as in every rolling update: the newer one owns it, and both create and delete."""

from typing import Any

import pytest

from remote_slurm.domain.submit_outcome import Submitted
from remote_slurm.errors import OutcomeUnknown, RemoteFailed, Superseded
from remote_slurm.site.remote_site import RemoteSite
from tests.site.account import Account, LocalShells
from tests.site.payloads import POD, packed

RECORD = f"v1 {POD} c running 1795478290 0 0 0\n"


async def test_an_answer_about_an_older_one_that_is_lost_comes_again(account: Account) -> None:
    shells = LocalShells(account)
    older, newer = account.owner(), RemoteSite(shells, account.config, owner=True)
    await older.recover()
    await newer.recover()
    await older.submit(POD, packed())
    shells.loses_next_reply = True
    with pytest.raises(OutcomeUnknown):
        await newer.records()
    await newer.records()
    assert newer.other_sidecars.older_acted


async def test_the_newer_one_learns_of_what_the_older_one_deletes(each_account: Account) -> None:
    older, newer = each_account.owner(), each_account.owner()
    await older.recover()
    await newer.recover()
    await newer.submit(POD, packed())
    each_account.job("101", "COMPLETED", each_account.root / POD / "job.sh")
    assert (await older.delete({POD: False})).gone == {POD}
    await newer.records()
    assert newer.other_sidecars.older_acted
    assert (await newer.survey()).deleted == {POD}


async def test_only_the_owner_submits_a_pod_again(account: Account) -> None:
    """It may be about to withdraw an attempt, and would take another sidecar's for its own."""
    older, newer = account.owner(), account.owner()
    await older.recover()
    await older.submit(POD, packed())
    for left in (account.claims / f"{POD}.attempt", account.claims / f"{POD}.job", account.root / POD / "job.id"):
        left.unlink(missing_ok=True)
    (account.root / POD / "again").touch()
    await newer.recover()
    with pytest.raises(Superseded):
        await older.submit(POD, packed())
    with pytest.raises(Superseded):
        await older.withdraw(POD, keep_folder=True)
    assert await newer.submit(POD, packed()) == Submitted("102")


async def test_the_older_one_takes_no_records_away(each_account: Account) -> None:
    older, newer = each_account.owner(), each_account.owner()
    await older.recover()
    await newer.recover()
    (each_account.root / ".remote-slurm/spool" / f"{POD}.c").write_text(RECORD)
    for site in (older, older, newer):
        assert [record.pod for record in await site.records()] == [POD]
    await older.records()
    assert await newer.records() == []


async def test_what_is_being_written_is_not_read_yet_and_not_moved(each_account: Account) -> None:
    site = each_account.owner()
    await site.submit(POD, packed())
    half = [each_account.root / ".remote-slurm/spool" / f".{POD}.c.77", each_account.root / POD / "records" / ".c.77"]
    for path in half:
        path.parent.mkdir(exist_ok=True)
        path.write_text(RECORD)
    assert (await site.recover()).records == ()
    assert await site.records() == []
    assert (await site.inspect_pods([POD])).records == ()
    assert all(path.exists() for path in half)


def test_no_name_of_what_was_read_leads_elsewhere(each_account: Account) -> None:
    each_account.ask("recover", sidecar="s", owns="")
    (each_account.root / ".remote-slurm/read/1-a").mkdir()
    (each_account.root / ".remote-slurm/spool" / f"{POD}.c").write_text(RECORD)
    asked: dict[str, Any] = {"sidecar": "s", "epoch": "", "owns": "yes", "token": "2-b", "seen": "../claims .. 1-a"}
    each_account.ask("records", **asked)
    assert each_account.claims.is_dir()
    assert [path.name for path in each_account.claims.with_name("read").iterdir()] == ["2-b"]


async def test_a_delete_takes_what_a_sidecar_that_is_gone_had_read(each_account: Account) -> None:
    older, newer = each_account.owner(), each_account.owner()
    await older.recover()
    await older.submit(POD, packed())
    (each_account.root / ".remote-slurm/spool" / f"{POD}.c").write_text(RECORD)
    assert await older.records()
    await newer.recover()
    each_account.job("101", "COMPLETED", each_account.root / POD / "job.sh")
    assert (await newer.delete({POD: False})).gone == {POD}
    assert list(each_account.root.glob(f".remote-slurm/read/*/{POD}.*")) == []


async def test_one_that_recovers_again_stays_the_owner(account: Account) -> None:
    """The answer of the first time may have been lost, or come late."""
    site = account.owner()
    await site.recover()
    first = site._epoch
    await site.recover()
    assert int(site._epoch) > int(first)
    site._epoch = first
    assert await site.submit(POD, packed()) == Submitted("101")


async def test_a_login_node_that_sees_owners_late_takes_a_later_epoch(account: Account) -> None:
    older, newer = account.owner(), account.owner()
    await older.recover()
    owners = account.root / ".remote-slurm/owners"
    hidden = owners.rename(owners.with_name("hidden"))
    older._epoch = str(int(older._epoch) - 60)  # it started a minute ago
    (hidden / older._epoch).symlink_to(older._name)
    await newer.recover()
    (owners / older._epoch).symlink_to(older._name)  # it comes into sight
    assert await newer.submit(POD, packed()) == Submitted("101")
    await older.records()
    assert older.other_sidecars.newer_mark


async def test_only_the_owner_is_remembered(account: Account) -> None:
    for _ in range(3):
        await account.owner().recover()
    assert len([path for path in (account.root / ".remote-slurm/owners").iterdir() if path.is_symlink()]) == 1


async def mark(older: RemoteSite) -> str | None:
    await older.records()
    return older.other_sidecars.newer_mark


async def test_the_mark_of_the_owner_changes_with_each_of_its_polls(each_account: Account) -> None:
    older, newer = each_account.owner(), each_account.owner()
    await older.recover()
    assert await mark(older) is None
    await newer.recover()
    marks = [await mark(older)]
    for _ in range(2):
        await newer.records()
        marks.append(await mark(older))
    assert len({*marks}) == 3
    await newer.records(early=True)  # costs the site's file system less, and the next poll is near
    assert await mark(older) == marks[-1]
    await each_account.site.records()  # a guest's
    assert await mark(older) == marks[-1]


async def test_an_owner_that_leaves_no_mark_is_not_taken_for_silent(account: Account) -> None:
    """A sidecar of an earlier version; or the file system is full, so that the mark is empty."""
    older, newer = account.owner(), account.owner()
    await older.recover()
    await newer.recover()
    file = account.root / ".remote-slurm/owners" / f".{newer._epoch}"
    file.write_text("")
    assert await mark(older) == ""
    file.unlink()
    assert await mark(older) == ""


async def test_a_mark_that_cannot_be_read_shows_nothing(account: Account) -> None:
    older, newer = account.owner(), account.owner()
    await older.recover()
    await newer.recover()
    assert await mark(older)
    account.root.rename(account.home / "away")
    account.root.touch()
    with pytest.raises(RemoteFailed):
        await older.records()
    assert older.other_sidecars.newer_mark == ""


async def test_the_older_one_that_takes_over_again_has_the_later_epoch(account: Account) -> None:
    older, newer = account.owner(), account.owner()
    await older.recover()
    await newer.recover()
    await older.recover()
    assert await older.submit(POD, packed()) == Submitted("101")
    assert await mark(newer)
    assert await mark(older) is None
    assert len(list((account.root / ".remote-slurm/owners").iterdir())) == 2  # the owner, and its mark
