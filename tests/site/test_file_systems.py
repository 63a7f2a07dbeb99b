"""What a file system lacks is said before a pod fails there: each was seen on a FUSE file system that lacks it."""

import pytest

from remote_slurm.errors import RemoteFailed
from tests.site.account import Account

# A FUSE or CIFS mount may know no symbolic links
NO_SYMLINKS = """\
case $1 in -s) echo "ln: failed to create symbolic link '$3': Operation not permitted" >&2; exit 1 ;; esac
exec /bin/ln "$@"
"""


async def test_a_folder_without_symbolic_links_is_refused(each_account: Account) -> None:
    """A job could not claim its pod: each one would fail with 137."""
    each_account.command("ln", NO_SYMLINKS)
    with pytest.raises(
        RemoteFailed, match=r"its file system has no symbolic links, which .* \(Operation not permitted\)"
    ):
        await each_account.owner().recover()
    assert each_account.ask("check_folder").has("nosymlinks")
    (each_account.home / "bin/ln").unlink()
    assert not each_account.ask("check_folder").has("nosymlinks")
    await each_account.owner().recover()


async def test_names_of_an_ordinary_file_system_need_no_remark(each_account: Account) -> None:
    answer = each_account.ask("check_folder")
    assert answer.has("written")
    assert not answer.has("caseless")
    assert not answer.has("shortnames")
    assert list((each_account.root / ".remote-slurm/incoming").iterdir()) == []


async def test_a_folder_that_ignores_case_is_reported(account: Account) -> None:
    """A script that asks for the same name plays such a file system."""
    script = account.script("check_folder").replace("CASE.$$", "case.$$")
    assert ">caseless yes" in account.run(script).output.decode()
