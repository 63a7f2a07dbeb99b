"""Scripts that are the same for every pod: sent once for all that travel together, and one file at the site."""

import asyncio
import tarfile
from io import BytesIO
from pathlib import Path

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.payload import Payload, together
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.slurm.submit_outcome import Submitted
from remote_slurm.job import SCRIPTS
from remote_slurm.site.remote_site import RemoteSite
from tests.site.account import Account
from tests.site.local_sidecar import Counted

# BeeGFS has hard links within a folder only
WITHIN_A_FOLDER = """\
case $1 in -*) ;; *) [ "${1%/*}" = "${2%/*}" ] || { echo "ln: $2: Invalid cross-device link" >&2; exit 1; } ;; esac
exec /bin/ln "$@"
"""


def pods_of(account: Account, number: int) -> dict[str, Payload]:
    asked = [Counted.at(account) for _ in range(number)]
    return {each.pod.key: payload(plan_job(each.request, account.config), SCRIPTS) for each in asked}


async def submit(site: RemoteSite, pods: dict[str, Payload]) -> None:
    outcomes = await asyncio.gather(*(site.submit(pod, files) for pod, files in pods.items()))
    assert all(isinstance(each, Submitted) for each in outcomes)


def runners(account: Account, pods: dict[str, Payload]) -> list[Path]:
    return [account.root / pod / "runner.sh" for pod in pods]


async def test_pods_that_travel_together_share_their_scripts(each_account: Account) -> None:
    pods = pods_of(each_account, 12)
    site = each_account.site
    await site.recover()
    await submit(site, pods)
    paths = runners(each_account, pods)
    assert all(
        (each_account.root / pod / name).read_bytes() == text
        for pod, files in pods.items()
        for name, text in files.scripts.items()
    )
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in paths)
    assert len({path.stat().st_ino for path in paths}) < len(paths)
    assert list((each_account.root / ".remote-slurm/incoming").iterdir()) == []


async def test_a_site_without_hard_links_gets_a_copy_for_each_pod(account: Account) -> None:
    account.command("ln", WITHIN_A_FOLDER)
    pods = pods_of(account, 12)
    site = account.site
    await site.recover()
    await submit(site, pods)
    assert all(
        (account.root / pod / "runner.sh").read_bytes() == files.scripts["runner.sh"] for pod, files in pods.items()
    )
    assert all(path.stat().st_nlink == 1 for path in runners(account, pods))


async def test_nothing_is_linked_before_the_site_has_shown_that_it_can(account: Account) -> None:
    pods = pods_of(account, 12)
    await submit(account.site, pods)
    assert all(path.stat().st_nlink == 1 for path in runners(account, pods))


async def test_a_payload_that_is_cut_among_the_links_is_none(account: Account) -> None:
    pods = pods_of(account, 3)
    sent = together(pods.values())
    links = len(sent) - len(together([Payload(each.pod, each.archive) for each in pods.values()])) - len(sent) // 100
    for cut in (len(sent) - 1, len(sent) - 40, links):
        answer = account.submit(" ".join(pods), sent, cut=cut)
        assert not answer.all("submitted")
        assert not any((account.root / pod).exists() for pod in pods)
    assert len(account.submit(" ".join(pods), sent).all("submitted")) == len(pods)


def test_what_travels_has_each_script_once() -> None:
    scripts = {"runner.sh": b"# the runner\n" * 1000}
    sent = together([Payload(f"ns-{n}", scripts=scripts) for n in range(3)])
    with tarfile.open(fileobj=BytesIO(sent), mode="r:gz", ignore_zeros=True) as tar:
        members = [(each.name, each.linkname if each.islnk() else each.size) for each in tar.getmembers()]
    assert members == [("0-runner.sh", 13_000), *((f"ns-{n}/runner.sh", "0-runner.sh") for n in range(3))]


def test_pods_that_need_other_parts_bring_runners_of_their_own() -> None:
    short, long = b"# the runner\n", b"# the runner, and probes\n"
    sent = together([Payload(f"ns-{n}", scripts={"runner.sh": text}) for n, text in enumerate((short, long, short))])
    with tarfile.open(fileobj=BytesIO(sent), mode="r:gz", ignore_zeros=True) as tar:
        runners = [tar.extractfile(f"ns-{n}/runner.sh") for n in range(3)]
        assert [each and each.read() for each in runners] == [short, long, short]
