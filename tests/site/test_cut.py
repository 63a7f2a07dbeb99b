"""What was meant for several pods and arrives in part, however long that part is, is done to none of them."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from remote_slurm.errors import RemoteFailed
from remote_slurm.site.operations.inspect_pods import Inspection
from remote_slurm.site.operations.release import ReleaseDecision
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.sessions import Request, Result
from tests.site.account import Account, LocalShells
from tests.site.payloads import packed

# Each begins like the next: a name that is cut off is another pod's
PODS = ["ns-1", "ns-12", "ns-123", "ns-1234"]
ASKED = PODS[-2:]


class CutShells(LocalShells):
    """Of each payload so many bytes arrive."""

    cut = 0
    whole = 1

    def arrived(self, request: Request) -> Result:
        self.whole = len(request.payload)
        return self._account.run(request.script, request.payload, request.texts, cut=self.cut)


def found(account: Account) -> tuple[list[Path], list[str]]:
    """All files in the account, and all calls of Slurm."""
    files = sorted(path for path in account.root.rglob("*") if "incoming" not in path.parts)
    return files, account.calls("scancel") + account.calls("scontrol")


async def cut_anywhere(account: Account, ask: Callable[[RemoteSite], Awaitable[object]]) -> None:
    shells = CutShells(account)
    before = found(account)
    while shells.cut < shells.whole:
        with suppress(RemoteFailed):
            await ask(RemoteSite(shells, account.config))
        assert found(account) == before, f"after {shells.cut} of {shells.whole} bytes"
        shells.cut += 1
    await ask(RemoteSite(shells, account.config))


@pytest.mark.parametrize("force", [True, False])
async def test_a_delete(account: Account, *, force: bool) -> None:
    for pod in PODS:
        await account.site.submit(pod, packed(pod))
    account.job("104", "RUNNING", account.root / PODS[3] / "job.sh")
    await cut_anywhere(account, lambda site: site.delete(dict.fromkeys(ASKED, force)))
    assert {stone.stem for stone in account.claims.glob("*.deleted")} == set(ASKED)
    assert {word for call in account.calls("scancel") for word in call.split() if word.isdigit()} == {"103", "104"}


async def test_a_release_of_held_jobs(tmp_path: Path) -> None:
    account = Account(tmp_path / "home", ["sh"], shared_fs=False)
    jobs = [(pod, f"10{number}") for number, pod in enumerate(ASKED, start=1)]
    for pod, _ in jobs:
        await account.site.submit(pod, packed(pod))
        (account.claims / f"{pod}.job").unlink()
        (account.root / pod / "released").unlink()
    await cut_anywhere(account, lambda site: site.release((*job, ReleaseDecision.YES) for job in jobs))
    assert {claim.name: claim.readlink().name for claim in account.claims.glob("*.job")} == {
        f"{pod}.job": job for pod, job in jobs
    }


async def test_reading_last_records(account: Account) -> None:
    """The records of another pod, whose name the cut one is, are not this pod's."""
    await account.site.submit(PODS[3], packed(PODS[3]))
    settled = []

    async def settle(site: RemoteSite) -> None:
        settled.append(await site.inspect_pods([PODS[3]]))

    await cut_anywhere(account, settle)
    assert settled == [Inspection(())]
