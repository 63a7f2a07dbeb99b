"""A folder that other accounts could write to, or have written to, is refused: as sshd's StrictModes does it.

What is in DataRootFolder becomes jobs of the account. These tests run as root: another account is any other uid.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_slurm.errors import RemoteFailed
from tests.site.account import Account

SOMEBODY = 4711

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another account")


async def refusal(account: Account) -> str:
    with pytest.raises(RemoteFailed) as refused:
        await account.owner().recover()
    assert account.ask("check_folder").has("open"), "`check` says the same"
    return str(refused.value).removeprefix(f"DataRootFolder {account.root} cannot be used at the site: ")


def made(account: Account) -> Account:
    (account.root / ".remote-slurm" / "owners").mkdir(parents=True)
    for name in ("claims", "incoming", "read", "spool"):
        (account.root / ".remote-slurm" / name).mkdir()
    for folder in (account.root, *account.root.rglob("*")):
        folder.chmod(0o700)
    return account


@pytest.mark.parametrize("mode", [0o777, 0o2777, 0o1777, 0o770, 0o2775, 0o702])
@pytest.mark.parametrize("folder", ["", ".remote-slurm", ".remote-slurm/spool", ".remote-slurm/owners"])
async def test_folders_that_others_can_write_to(account: Account, folder: str, mode: int) -> None:
    open_folder = made(account).root / folder
    open_folder.chmod(mode)
    message = await refusal(account)
    assert message.startswith(
        f"{open_folder} must belong to the account and be writable for no other account, but is owned by "
    )
    assert message.endswith(f": run `chmod go-w {open_folder}` at the site")
    open_folder.chmod(open_folder.stat().st_mode & ~0o022)
    await account.owner().recover()


async def test_every_shell_finds_them(each_account: Account) -> None:
    made(each_account).root.chmod(0o770)
    assert (await refusal(each_account)).endswith(f"run `chmod go-w {each_account.root}` at the site")
    each_account.root.chmod(0o755)
    each_account.home.chmod(0o775)
    assert f"since {each_account.home} is owned by" in await refusal(each_account)
    each_account.home.chmod(0o1777)
    await each_account.owner().recover()


@pytest.mark.parametrize("mode", [0o777, 0o2770, 0o775])
async def test_a_folder_above_that_others_can_write_to(account: Account, mode: int) -> None:
    account.home.chmod(mode)
    message = await refusal(made(account))
    assert message.startswith(f"other accounts can replace DataRootFolder, since {account.home} is owned by ")
    assert message.endswith(f": run `chmod go-w {account.home}` at the site, or choose another DataRootFolder")


@pytest.mark.parametrize("mode", [0o1777, 0o3770, 0o755])
async def test_the_sticky_bit_is_enough_above(account: Account, mode: int) -> None:
    account.home.chmod(mode)
    await made(account).owner().recover()


@as_root
async def test_a_folder_above_of_another_account(account: Account) -> None:
    os.chown(account.home, SOMEBODY, -1)
    message = await refusal(made(account))
    assert message.startswith(f"other accounts can replace DataRootFolder, since {account.home} is owned by 4711 ")
    assert message.endswith(f"or ask the owner of {account.home} for `chmod +t {account.home}`")


@as_root
async def test_a_folder_above_where_a_link_leads(account: Account) -> None:
    """What the configuration names is a link in the home folder, as to scratch."""
    scratch = account.home / "scratch"
    (scratch / "data").mkdir(parents=True)
    scratch.chmod(0o777)
    account.root.symlink_to(scratch / "data")
    assert f"since {scratch} is owned by" in await refused_where(account, account.root)
    scratch.chmod(0o755)
    os.chown(account.root, SOMEBODY, -1, follow_symlinks=False)
    await account.owner().recover()


async def refused_where(account: Account, root: Path) -> str:
    with pytest.raises(RemoteFailed) as refused:
        await account.owner().recover()
    assert str(refused.value).startswith(f"DataRootFolder {root} cannot be used")
    return str(refused.value)


def a_link_in_owners(root: Path) -> Path:
    link = root / ".remote-slurm" / "owners" / "99999999999"
    link.symlink_to("somebody")
    return link


def a_record_in_the_spool(root: Path) -> Path:
    record = root / ".remote-slurm" / "spool" / "ns-1.main"
    record.write_text("v1 ns-1 main terminated 1 2 0 0 \n")
    return record


def a_claim(root: Path) -> Path:
    claim = root / ".remote-slurm" / "claims" / "ns-1.job"
    claim.symlink_to("7")
    return claim


def a_pod(root: Path) -> Path:
    (root / "ns-1").mkdir()
    (root / "ns-1" / "job.sh").write_text("#!/bin/sh\nid\n")
    return root / "ns-1"


@as_root
@pytest.mark.parametrize("plant", [a_link_in_owners, a_record_in_the_spool, a_claim, a_pod])
async def test_what_another_account_has_planted(account: Account, plant: Callable[[Path], Path]) -> None:
    planted = plant(made(account).root)
    os.chown(planted, SOMEBODY, -1, follow_symlinks=False)
    message = await refusal(account)
    assert message.startswith(f"{planted} must belong to the account, but is owned by 4711 with mode ")
    assert message.endswith(f": run `rm -rf {planted}` at the site")


@as_root
async def test_records_of_another_account_do_not_count(account: Account) -> None:
    site = account.owner()
    await site.recover()
    own = a_record_in_the_spool(account.root)
    planted = own.with_name("ns-2.main")
    planted.write_text("v1 ns-2 main terminated 1 2 0 0 \n")
    os.chown(planted, SOMEBODY, -1)
    assert [record.pod for record in await site.records()] == ["ns-1"]
    assert planted.exists()
