"""Two sidecars on one account, as in every rolling upgrade: the newer one owns the folder, the older writes no more."""

import pytest
from account import Account
from payloads import POD, packed

from remote_slurm.errors import Superseded
from remote_slurm.remote.convoy import Deleted, Submitted
from remote_slurm.remote.site import Wanted

RECORD = f"v1 {POD} c running 1795478290 0 0 0\n"


async def test_the_newer_sidecar_creates_and_the_older_one_does_not(each_account: Account) -> None:
    older, newer = each_account.owner(), each_account.owner()
    await older.recover()
    assert await older.submit("ns-0", packed("ns-0")) == Submitted("101")
    await newer.recover()
    with pytest.raises(Superseded):
        await older.submit(POD, packed())
    assert await newer.submit(POD, packed()) == Submitted("102")
    assert each_account.jobs() == ["101", "102"]


async def test_the_older_one_still_tells_which_job_a_pod_has(account: Account) -> None:
    older, newer = account.owner(), account.owner()
    await older.recover()
    await newer.recover()
    await newer.submit(POD, packed())
    assert await older.submit(POD, packed()) == Submitted("101")


async def test_the_older_one_takes_no_records_away(each_account: Account) -> None:
    older, newer = each_account.owner(), each_account.owner()
    await older.recover()
    await newer.recover()
    (each_account.root / ".remote-slurm/spool" / f"{POD}.c").write_text(RECORD)
    with pytest.raises(Superseded):
        await older.records()
    assert [record.pod for record in await newer.records()] == [POD]
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
    assert (await site.settle([POD])).records == ()
    assert all(path.exists() for path in half)


def test_no_name_of_what_was_read_leads_elsewhere(each_account: Account) -> None:
    each_account.ask("recover", sidecar="s", owns="")
    (each_account.root / ".remote-slurm/read/1-a").mkdir()
    asked = {"sidecar": "s", "epoch": "", "owns": "yes", "token": "2-b", "seen": "../claims .. 1-a"}
    each_account.ask("records", **asked)
    assert each_account.claims.is_dir()
    assert [path.name for path in each_account.claims.with_name("read").iterdir()] == ["2-b"]


async def test_a_delete_is_carried_out_whoever_was_told(account: Account) -> None:
    older, newer = account.owner(), account.owner()
    await older.recover()
    await newer.recover()
    await older.cancel({POD: False})
    assert await newer.submit(POD, packed()) == Deleted()


async def test_a_delete_takes_what_a_sidecar_that_is_gone_had_read(each_account: Account) -> None:
    older, newer = each_account.owner(), each_account.owner()
    await older.recover()
    await older.submit(POD, packed())
    (each_account.root / ".remote-slurm/spool" / f"{POD}.c").write_text(RECORD)
    assert await older.records()
    await newer.recover()
    each_account.job("101", "COMPLETED", each_account.root / POD / "job.sh")
    assert (await newer.cancel({POD: False})).gone == {POD}
    assert list(each_account.root.glob(f".remote-slurm/read/*/{POD}.*")) == []


async def test_a_guest_takes_nothing_over_and_nothing_away(each_account: Account) -> None:
    """As the command line is, beside a sidecar that serves."""
    owner, guest = each_account.owner(), each_account.site
    await owner.recover()
    await guest.recover()
    (each_account.root / ".remote-slurm/spool" / f"{POD}.c").write_text(RECORD)
    for site in (guest, guest, owner):
        assert [record.pod for record in await site.records()] == [POD]
    assert await guest.submit("ns-2", packed("ns-2")) == Submitted("101")
    assert await owner.submit(POD, packed()) == Submitted("102")


async def test_one_that_recovers_again_stays_the_owner(account: Account) -> None:
    """The answer of the first time may have been lost, or come late."""
    site = account.owner()
    await site.recover()
    first = site._epoch
    await site.recover()
    assert int(site._epoch) > int(first)
    site._epoch = first
    assert await site.submit(POD, packed()) == Submitted("101")


async def test_a_login_node_that_sees_the_owners_late_finds_a_later_epoch_all_the_same(account: Account) -> None:
    older, newer = account.owner(), account.owner()
    await older.recover()
    owners = account.root / ".remote-slurm/owners"
    hidden = owners.rename(owners.with_name("hidden"))
    older._epoch = str(int(older._epoch) - 60)  # it started a minute ago
    (hidden / older._epoch).symlink_to(older._name)
    await newer.recover()
    (owners / older._epoch).symlink_to(older._name)  # it comes into sight
    assert await newer.submit(POD, packed()) == Submitted("101")
    with pytest.raises(Superseded):
        await older.records()


async def test_only_the_owner_is_remembered(account: Account) -> None:
    for _ in range(3):
        await account.owner().recover()
    assert len(list((account.root / ".remote-slurm/owners").iterdir())) == 1


async def test_the_owner_is_told_of_deletes_that_did_not_come_to_their_end(account: Account) -> None:
    owner, guest = account.owner(), account.site
    for name in ("ns-1", "ns-2"):
        await guest.submit(name, packed(name))
    (account.claims / "ns-1.deleted").touch()
    (account.claims / "ns-3.deleted").touch()  # nothing is left of it
    assert (await owner.recover()).half_deleted == {"ns-1"}
    assert (await guest.recover()).half_deleted == frozenset()


async def test_the_older_one_gives_nothing_up_releases_nothing_and_fetches_nothing(account: Account) -> None:
    older, newer = account.owner(), account.owner()
    await older.recover()
    await newer.recover()
    await newer.submit(POD, packed())
    for ask in (older.void(POD), older.release([(POD, "101", Wanted.YES)]), older.fetch(POD, "101", str(account.home))):
        with pytest.raises(Superseded):
            await ask
    assert not (account.claims / f"{POD}.job").is_symlink()
    assert account.calls("scontrol") == account.calls("srun") == []
