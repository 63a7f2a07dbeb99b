"""A job that was killed could not remove its secrets: the poll does it, in the round trip that reads the records."""

import pytest

from tests.site.account import Account

TOKEN = "1-a"  # of one poll


def a_pod(account: Account, name: str) -> None:
    folder = account.root / name
    (folder / "secret" / "volumes" / "v").mkdir(parents=True)
    (folder / "secret" / "words").write_text("t0p")
    (folder / "secret" / "volumes" / "v").chmod(0o500)
    (folder / "job.sh").write_text("#!/bin/sh\n# --- files of the pod's folder, as base64\ndDBw\n")


async def test_secrets_of_ended_pods_are_removed(each_account: Account) -> None:
    site = each_account.owner()
    await site.recover()
    for name in ("ns-1", "ns-2", "ns-3"):
        a_pod(each_account, name)
    await site.records(["ns-1", "ns-3", "ns-gone"])
    assert [(each_account.root / name / "secret").exists() for name in ("ns-1", "ns-2", "ns-3")] == [False, True, False]
    assert (each_account.root / "ns-1" / "job.sh").read_text().endswith("dDBw\n")


async def test_secrets_that_cannot_be_removed_are_tried_again(account: Account) -> None:
    """A process that hangs on a node keeps files of NFS busy."""
    site = account.owner()
    await site.recover()
    a_pod(account, "ns-1")
    account.command("rm", 'case $* in */secret*) exit 1 ;; esac\nexec /bin/rm "$@"\n')
    await site.records(["ns-1"])
    (account.bin / "rm").unlink()
    assert (account.root / "ns-1" / "secret").exists()
    await site.records([])
    assert not (account.root / "ns-1" / "secret").exists()


async def test_where_nothing_is_shared_the_script_is_cut(account: Account) -> None:
    account.shared_fs = False
    site = account.owner()
    await site.recover()
    a_pod(account, "ns-1")
    await site.records(["ns-1"])
    script = account.root / "ns-1" / "job.sh"
    assert script.read_text() == "#!/bin/sh\n# --- files of the pod's folder, as base64\n"
    assert [path.name for path in script.parent.iterdir()] == ["job.sh"]


@pytest.mark.parametrize("cut", [0, 3, 5])
async def test_a_truncated_name_belongs_to_no_pod(account: Account, cut: int) -> None:
    await account.owner().recover()
    a_pod(account, "ns-1")
    answer = account.ask("records", b"ns-12\n.\n", cut=cut, token=TOKEN, seen="", owns="yes", ended="yes", carried="")
    assert answer.has("records") or not answer.lines
    assert (account.root / "ns-1" / "secret").exists()
