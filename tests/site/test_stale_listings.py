"""A second login node that sees the file system later: exclusive creates alone tell it, and nothing runs twice."""

from contextlib import suppress
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.submit_outcome import SbatchFailed, Submitted
from remote_slurm.errors import RemoteSlurmError, SiteError
from remote_slurm.job import SCRIPTS
from tests.site.account import Account
from tests.site.local_sidecar import Counted, created, ended, nodes, sidecar
from tests.site.payloads import POD, packed

# Checks whether files of the pod exist report that they do not; exclusive creates fail as ever.
BLIND = """
[() {{
    case "$*" in
        *{pod}*)
            case "$1" in "!") return 0 ;; -*) return 1 ;; esac ;;
    esac
    builtin [ "$@"
}}
"""


def blind(account: Account, pod: Counted) -> None:
    account.shell = ["bash"]
    account.in_front = BLIND.format(pod=pod.pod.key)


def packed_pod(account: Account, pod: Counted) -> Payload:
    return payload(plan_job(pod.request, account.config), SCRIPTS)


# Until the attempt is made, by whomever
LATE = """
set() { tried=yes; builtin set "$@"; }
[() {
    case "$tried$*" in
        *yes*) ;;
        *.attempt*) return 1 ;;
    esac
    builtin [ "$@"
}
"""


async def test_what_another_login_node_has_submitted_is_not_submitted_again(account: Account) -> None:
    pod = Counted.at(account)
    assert await account.site.submit(pod.pod.key, packed_pod(account, pod)) == Submitted("101")
    blind(account, pod)
    for _ in range(3):
        with pytest.raises(SiteError):
            await account.site.submit(pod.pod.key, packed_pod(account, pod))
    account.in_front = ""
    assert await account.site.submit(pod.pod.key, Payload()) == Submitted("101")
    assert account.calls("sbatch") == ["sbatch"]


@pytest.mark.parametrize("step", [7, 8, 9, -8, -9])
async def test_what_was_killed_at_one_login_node_is_asked_for_again_at_another(
    account: Account, tmp_path: Path, step: int
) -> None:
    account.count_steps()
    account.dies_at = step
    pod = Counted.at(account)
    with suppress(SiteError):
        await account.site.submit(pod.pod.key, packed_pod(account, pod))
    blind(account, pod)
    async with nodes(account):
        try:
            await account.site.submit(pod.pod.key, packed_pod(account, pod))
        except SiteError:
            account.in_front = ""
        async with sidecar(account, tmp_path / "state") as pods:
            answer = await created(pods, pod)
            if not isinstance(answer, RemoteSlurmError):
                await ended(pods, pod)
    assert len(account.jobs()) == pod.runs == (0 if isinstance(answer, RemoteSlurmError) else 1)


async def test_a_refusal_that_becomes_visible_late_is_reported_to_all(account: Account) -> None:
    account.refuse("sbatch: error: invalid partition specified: gold")
    refused = await account.site.submit(POD, packed())
    assert isinstance(refused, SbatchFailed)
    account.shell, account.in_front = ["bash"], LATE
    assert await account.site.submit(POD, packed()) == refused
    account.in_front = ""
    assert await account.site.submit(POD, Payload()) == refused
    assert account.calls("sbatch") == ["sbatch"]
