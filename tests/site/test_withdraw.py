"""withdraw.sh: refusals that come together are taken back together, in every shell that a site may have."""

import asyncio

import pytest

from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.submit_outcome import SbatchFailed, Submitted
from remote_slurm.errors import RemoteFailed
from remote_slurm.site.remote_site import RemoteSite
from remote_slurm.ssh.sessions import Request, Result
from tests.site.account import Account, LocalShells
from tests.site.payloads import packed

PODS = [f"ns-{number}" for number in range(12)]


class CountedShells(LocalShells):
    """How often each script went to the site."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.scripts: list[str] = []

    def arrived(self, request: Request) -> Result:
        text = f"\n{request.texts[-1]}"
        self.scripts.append(next(name for name in ("withdraw", "submit") if f"\n{name}() {{" in text))
        return super().arrived(request)


async def test_refusals_that_arrive_together_take_two_round_trips(each_account: Account) -> None:
    shells = CountedShells(each_account)
    site = RemoteSite(shells, each_account.config)
    each_account.refuse("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    for outcome in await asyncio.gather(*(site.submit(pod, packed(pod)) for pod in PODS)):
        assert isinstance(outcome, SbatchFailed)
    kept = PODS[::2]
    await asyncio.gather(*(site.withdraw(pod, keep_folder=pod in kept) for pod in PODS))
    assert shells.scripts.count("withdraw") == 2  # the first one leaves at once
    assert {path.name for path in each_account.root.iterdir()} == {".remote-slurm", *kept}
    assert [pod for pod in kept if not (each_account.root / pod / "again").exists()] == []
    assert list(each_account.claims.iterdir()) == []
    (each_account.slurm / "sbatch.refuses").unlink()
    for outcome in await asyncio.gather(*(site.submit(pod, packed(pod)) for pod in PODS)):
        assert isinstance(outcome, Submitted)


async def test_one_that_was_deleted_meanwhile_is_withdrawn_like_the_others(account: Account) -> None:
    await account.site.recover()
    await account.site.withdraw("ns-gone", keep_folder=True)
    assert list(account.claims.iterdir()) == []


async def test_a_refusal_stays_if_its_withdrawal_cannot_be_written(account: Account) -> None:
    """As in a full home: a sidecar that starts anew would forget a pod that was accepted."""
    account.refuse("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    refused = await account.site.submit(PODS[0], packed(PODS[0]))
    (account.root / PODS[0] / "again").mkdir()
    with pytest.raises(RemoteFailed, match="could not be written"):
        await account.site.withdraw(PODS[0], keep_folder=True)
    assert await account.site.submit(PODS[0], Payload()) == refused
