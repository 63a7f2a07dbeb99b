"""Scripts that pods share: at the site once, sent if they are missing or changed, and kept while they are needed."""

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.payload import Payload, library_sums, together
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.submit_outcome import Submitted
from remote_slurm.errors import RemoteFailed, Superseded
from remote_slurm.job import SCRIPTS
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.sessions import Request, Result
from tests.site.account import Account, LocalShells
from tests.site.local_sidecar import Counted

# BeeGFS has hard links within a folder only
NO_LINKS = """\
case $1 in -*) ;; *) echo "ln: $2: Invalid cross-device link" >&2; exit 1 ;; esac
exec /bin/ln "$@"
"""
DAYS = 86400


class CountedShells(LocalShells):
    """The sizes of all payloads."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.sent: list[int] = []

    def arrived(self, request: Request) -> Result:
        self.sent.append(len(request.payload))
        return super().arrived(request)


class Sidecar:
    def __init__(self, account: Account, scripts: dict[str, bytes] = SCRIPTS) -> None:
        self.account = account
        self.shells = CountedShells(account)
        self.site = RemoteSite(self.shells, account.config)
        self.scripts = scripts

    def packed(self, pod: Counted) -> Payload:
        return payload(plan_job(pod.request, self.account.config), self.scripts)

    async def submit(self, number: int = 1) -> Payload:
        """Submit pods, and return the last one."""
        pods = [self.packed(Counted.at(self.account)) for _ in range(number)]
        outcomes = await asyncio.gather(*(self.site.submit(each.pod, each) for each in pods))
        assert all(isinstance(each, Submitted) for each in outcomes)
        return pods[-1]


def library(account: Account, sent: Payload) -> Path:
    return account.root / ".remote-slurm" / "lib" / sent.library


def is_whole(account: Account, sent: Payload) -> bool:
    folder = library(account, sent)
    return folder.is_dir() and {each.name: each.read_bytes() for each in folder.iterdir()} == sent.scripts


def change(folder: Path) -> None:
    (folder / "runner.sh").write_text("echo changed\n")


def empty(folder: Path) -> None:
    (folder / "environment.sh").write_text("")


def purge_one(folder: Path) -> None:
    (folder / "runner.sh").unlink()


def add(folder: Path) -> None:
    (folder / "zz.sh").write_text("echo more\n")


HANDS = [shutil.rmtree, change, empty, purge_one, add]


@pytest.fixture(params=HANDS, ids=lambda hand: hand.__name__)
def hand(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """What else than the sidecar may change files."""
    found: Callable[[Path], None] = request.param
    return found


# --- what travels ---


async def test_pods_share_their_scripts_and_later_ones_bring_none(each_account: Account) -> None:
    each_account.command("ln", NO_LINKS)
    sidecar = Sidecar(each_account)
    first = await sidecar.submit(12)
    later = await sidecar.submit()
    assert is_whole(each_account, first)
    assert later.library == first.library
    assert sidecar.shells.sent[-1] == len(later.archive) < 3000 < sidecar.shells.sent[0]
    files = [*library(each_account, first).iterdir(), each_account.root / first.pod / "job.sh"]
    assert all(time.time() - file.stat().st_mtime < DAYS for file in files), "a purge would remove them at once"
    assert all(file.stat().st_mode & 0o077 == 0 for file in (*files, *(file.parent for file in files)))
    assert not (each_account.root / first.pod / "runner.sh").exists()
    assert [each.name for each in library(each_account, first).parent.iterdir()] == [first.library]
    assert list((each_account.root / ".remote-slurm/incoming").iterdir()) == []


async def test_missing_or_changed_libraries_cost_one_more_round_trip(
    each_account: Account, hand: Callable[[Path], None]
) -> None:
    sidecar = Sidecar(each_account)
    hand(library(each_account, await sidecar.submit()))
    sent = await sidecar.submit()
    assert is_whole(each_account, sent)
    assert len(sidecar.shells.sent) == 3
    assert each_account.jobs() == ["101", "102"]
    assert list((each_account.root / ".remote-slurm/incoming").iterdir()) == []


async def test_a_sidecar_that_starts_leaves_whole_scripts_where_they_are(account: Account) -> None:
    """A container that starts again at this moment needs them."""
    sent = await Sidecar(account).submit()
    before = {file: file.stat().st_ino for file in (library(account, sent), *library(account, sent).iterdir())}
    await Sidecar(account).submit()
    assert {file: file.stat().st_ino for file in before} == before


async def test_without_sha256sum_a_library_that_is_there_counts(account: Account) -> None:
    account.command("sha256sum", "exit 127")
    sidecar = Sidecar(account)
    folder = library(account, await sidecar.submit())
    await sidecar.submit()
    assert len(sidecar.shells.sent) == 2
    shutil.rmtree(folder)
    assert is_whole(account, await sidecar.submit())


async def test_where_scripts_cannot_be_written_nothing_is_submitted(account: Account) -> None:
    """As in a full home."""
    await account.site.recover()
    (account.root / ".remote-slurm" / "lib").touch()
    sidecar = Sidecar(account)
    with pytest.raises(RemoteFailed, match=r"could not be written at the site: .*lib"):
        await sidecar.submit()
    assert account.calls("sbatch") == []
    (account.root / ".remote-slurm" / "lib").unlink()
    assert is_whole(account, await sidecar.submit())


async def test_a_payload_that_is_cut_anywhere_submits_nothing(account: Account) -> None:
    sidecar = Sidecar(account)
    pods = [sidecar.packed(Counted.at(account)) for _ in range(2)]
    names, needed = " ".join(each.pod for each in pods), pods[0].library
    sums = library_sums(needed, pods[0].scripts)
    sent = together(pods, [needed])
    for cut in (0, 1, 1000, len(sent) // 2, len(sent) - len(pods[1].archive) - 1, len(sent) - 1):
        reply = account.submit(names, sent, cut=cut, libraries=needed, sums=sums, sent=needed)
        assert reply.all("submitted") == []
        assert not any((account.root / each.pod).exists() for each in pods)
    reply = account.submit(names, sent, libraries=needed, sums=sums, sent=needed)
    assert len(reply.all("submitted")) == len(pods)
    assert is_whole(account, pods[0])
    assert account.jobs() == ["101", "102"]


async def test_sidecars_of_two_versions_have_a_library_each(account: Account) -> None:
    newer = Sidecar(account, {**SCRIPTS, "runner.sh": SCRIPTS["runner.sh"] + b"# newer\n"})
    older = Sidecar(account)
    sent = [await each.submit() for each in (older, newer, older, newer)]
    assert len({each.library for each in sent}) == 2
    assert all(is_whole(account, each) for each in sent)
    assert [len(each.shells.sent) for each in (older, newer)] == [2, 2]


# --- in the job ---


async def test_a_job_starts_nothing_if_its_scripts_are_not_what_was_sent(
    account: Account, hand: Callable[[Path], None]
) -> None:
    pod = Counted.at(account)
    sidecar = Sidecar(account)
    sent = sidecar.packed(pod)
    await sidecar.site.submit(sent.pod, sent)
    hand(library(account, sent))
    wait_less(account, sent)
    account.run_jobs()
    assert pod.runs == 0
    assert (account.slurm / "jobs/101/state").read_text() == "FAILED"
    assert (account.slurm / "jobs/101/output").read_text() == (
        f"remote-slurm: {account.root}/{sent.pod}/../.remote-slurm/lib/{sent.library} is missing or was changed, so no "
        "container starts: create the pod again\n"
    )


async def test_a_job_waits_for_scripts_that_come_back(account: Account) -> None:
    pod = Counted.at(account)
    sidecar = Sidecar(account)
    sent = sidecar.packed(pod)
    await sidecar.site.submit(sent.pod, sent)
    folder = library(account, sent)
    folder.rename(folder.parent / "away")
    back = threading.Timer(1, (folder.parent / "away").rename, [folder])
    back.start()
    account.run_jobs()
    back.join()
    assert pod.runs == 1


def wait_less(account: Account, sent: Payload) -> None:
    job = account.root / sent.pod / "job.sh"
    text = job.read_text()
    assert "SECONDS < 30" in text
    job.write_text(text.replace("SECONDS < 30", "SECONDS < 1").replace("sleep 3", "sleep 0.1"))


# --- once a day ---


def age(folder: Path, days: float) -> None:
    moment = time.time() - days * DAYS
    for path in (*folder.iterdir(), folder):
        os.utime(path, (moment, moment))


async def test_scripts_that_pods_need_are_kept_fresh_and_the_others_go(each_account: Account) -> None:
    versions = [Sidecar(each_account, {**SCRIPTS, "runner.sh": b"# %d\n" % number}) for number in range(4)]
    needed, kept, young, old = [await each.submit() for each in versions]
    for each in (kept, young, old):
        shutil.rmtree(each_account.root / each.pod)
    for each in (needed, kept, old):
        age(library(each_account, each), 1.5)
    await versions[1].site.tend_libraries()
    assert [is_whole(each_account, each) for each in (needed, kept, young, old)] == [True, True, True, False]
    for each in (needed, kept):
        paths = (library(each_account, each), *library(each_account, each).iterdir())
        assert all(time.time() - path.stat().st_mtime < DAYS for path in paths)
    assert list((each_account.root / ".remote-slurm/incoming").iterdir()) == []


async def test_scripts_that_were_changed_are_removed_and_sent_again(
    account: Account, hand: Callable[[Path], None]
) -> None:
    sidecar = Sidecar(account)
    folder = library(account, await sidecar.submit())
    hand(folder)
    await sidecar.site.tend_libraries()
    assert not folder.exists()
    assert is_whole(account, await sidecar.submit())


async def test_a_pod_that_comes_while_its_scripts_are_removed_keeps_them(account: Account) -> None:
    sidecar = Sidecar(account)
    sent = await sidecar.submit()
    (account.root / sent.pod).rename(account.home / "later")
    age(library(account, sent), 2)
    mv = shutil.which("mv")
    account.command("mv", f'[ ! -e "$HOME/later" ] || {mv} "$HOME/later" "{account.root}/{sent.pod}"\nexec {mv} "$@"')
    await account.site.tend_libraries()
    assert is_whole(account, sent)
    assert list((account.root / ".remote-slurm/incoming").iterdir()) == []


async def test_a_superseded_sidecar_removes_nothing(account: Account) -> None:
    older, newer = account.owner(), account.owner()
    await older.recover()
    await newer.recover()
    sent = await Sidecar(account).submit()
    shutil.rmtree(account.root / sent.pod)
    age(library(account, sent), 2)
    with pytest.raises(Superseded):
        await older.tend_libraries()
    assert is_whole(account, sent)
    await newer.tend_libraries()
    assert not library(account, sent).exists()
