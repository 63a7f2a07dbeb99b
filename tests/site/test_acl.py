"""A DataRootFolder whose inherited ACLs would open Secrets to others is refused at start."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_slurm.errors import RemoteFailed
from tests.site.account import Account

# acl(5) and linux/posix_acl_xattr.h: the owner, another user, the group, the mask and all others
_OWNER, _USER, _GROUP, _MASK, _OTHERS = 0x01, 0x02, 0x04, 0x10, 0x20
_NOBODY = 0xFFFFFFFF


def default_acl(folder: Path, *entries: tuple[int, int, int]) -> None:
    text = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(folder, "system.posix_acl_default", text)


def somebody_may_read(folder: Path) -> None:
    default_acl(
        folder,
        (_OWNER, 7, _NOBODY),
        (_USER, 5, 4711),
        (_GROUP, 0, _NOBODY),
        (_MASK, 5, _NOBODY),
        (_OTHERS, 0, _NOBODY),
    )


def the_group_may_read(folder: Path) -> None:
    default_acl(folder, (_OWNER, 7, _NOBODY), (_GROUP, 5, _NOBODY), (_OTHERS, 0, _NOBODY))


def only_the_owner_may(folder: Path) -> None:
    default_acl(folder, (_OWNER, 7, _NOBODY), (_GROUP, 0, _NOBODY), (_OTHERS, 0, _NOBODY))


@pytest.mark.parametrize("opened", [somebody_may_read, the_group_may_read])
async def test_it_is_refused_with_what_to_do(each_account: Account, opened: Callable[[Path], None]) -> None:
    opened(each_account.home)
    with pytest.raises(RemoteFailed) as refused:
        await each_account.owner().recover()
    assert str(refused.value).startswith(
        f"DataRootFolder {each_account.root} cannot be used at the site: a default ACL"
    )
    assert each_account.ask("check_folder").has("open")


async def test_one_that_opens_nothing_is_none(each_account: Account) -> None:
    only_the_owner_may(each_account.home)
    await each_account.owner().recover()
    assert not each_account.ask("check_folder").has("open")


async def test_a_folder_of_a_group_is_not_open(each_account: Account) -> None:
    each_account.home.chmod(0o2750)
    await each_account.owner().recover()
    assert not each_account.ask("check_folder").has("open")
