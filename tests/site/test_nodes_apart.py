"""Jobs that are submitted held where nodes see no fence: the claim decides which one is released; and their logs."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from remote_slurm.domain.plan.payload import archive
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.errors import RemoteFailed, RemoteSlurmError
from remote_slurm.site.operations.release import ReleaseDecision
from tests.site.account import SHELLS, Account
from tests.site.local_sidecar import Counted, created, sidecar

POD = "ns-a"
PACKED = archive(POD, [File("job.sh", b"# ns-a\n", 0o700)])


@pytest.fixture(params=SHELLS, ids=" ".join)
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    return Account(tmp_path, request.param, shared_fs=False)


def submit(account: Account) -> list[str]:
    answer = account.submit(POD, PACKED, scontrol="scontrol")
    return [f"{word} {rest}" for word, rest in answer.lines if word != "root"]


def release(account: Account, *jobs: str, wanted: str = "yes") -> list[str]:
    lines = "".join(f"{line}\n" for line in (*(f"{POD} {job} {wanted}" for job in jobs), ".")).encode()
    answer = account.ask("release", lines, scontrol="scontrol", scancel="scancel")
    return [f"{word} {rest}" for word, rest in answer.lines if word != "root"]


async def until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.05)


def is_held(account: Account, job: str) -> bool:
    return (account.slurm / "jobs" / job / "held").exists()


def test_a_job_is_submitted_held_claimed_and_then_released(account: Account) -> None:
    assert submit(account) == ["submitted ns-a 101"]
    assert "--hold" in (account.slurm / "jobs/101/arguments").read_text().splitlines()
    assert "--output=/dev/null" in (account.slurm / "jobs/101/arguments").read_text().splitlines()
    assert (account.claims / "ns-a.job").readlink() == Path("101")
    assert account.calls("scontrol") == ["scontrol release 101"]


def test_a_pod_without_a_folder_does_not_hold_up_others(account: Account) -> None:
    account.command("scontrol", "exit 1")
    submit(account)
    lines = b"ns-gone 100 yes\nns-a 101 yes\n.\n"
    account.command("scontrol", 'echo "scontrol $*" >>"$SLURM/calls"')
    account.ask("release", lines, scontrol="scontrol", scancel="scancel")
    assert account.calls("scontrol") == ["scontrol release 100", "scontrol release 101"]


def test_one_whose_release_failed_is_released_later_once(account: Account) -> None:
    account.command("scontrol", "exit 1")
    assert submit(account) == ["submitted ns-a 101"]
    assert is_held(account, "101")
    assert account.calls("scancel") == []
    account.command("scontrol", 'echo "scontrol $*" >>"$SLURM/calls"')
    assert release(account, "101") == ["released ns-a 101"]
    assert release(account, "101") == ["released ns-a 101"]
    assert account.calls("scontrol") == ["scontrol release 101"]


async def test_why_a_release_fails_is_said_in_the_words_of_slurm(account: Account) -> None:
    account.command("scontrol", "echo 'Access denied' >&2; exit 1")
    submit(account)
    released = await account.site.release([(POD, "101", ReleaseDecision.YES)])
    assert (released.done, released.failed, released.reason) == (frozenset(), "101", "Access denied")


def test_a_second_job_of_the_pod_is_cancelled_and_never_released(account: Account) -> None:
    submit(account)
    account.job("102", "PENDING", account.root / POD / "job.sh")
    assert release(account, "101", "102") == ["released ns-a 101", "cancelled ns-a 102"]
    assert account.calls("scancel") == ["scancel 102"]


def test_a_job_that_comes_after_another_one_has_the_claim_gives_way_to_it(account: Account) -> None:
    account.command("sbatch", f'ln -s 77 "{account.claims}/ns-a.job"; echo 101')
    assert submit(account) == ["submitted ns-a 77"]
    assert account.calls("scontrol") == []
    assert account.calls("scancel") == ["scancel 101"]


def test_a_pod_that_is_deleted_meanwhile_is_not_released(account: Account) -> None:
    account.command(
        "sbatch", f'touch "{account.claims}/ns-a.deleted"; ln -s deleted "{account.claims}/ns-a.job"; echo 101'
    )
    (account.slurm / "jobs/101").mkdir()
    submit(account)
    assert account.calls("scontrol") == []
    assert set(account.calls("scancel")) == {"scancel 101"}
    assert release(account, "101") == ["cancelled ns-a 101"]


def test_a_job_of_an_unwanted_pod_is_cancelled_with_its_pod(account: Account) -> None:
    account.command("scontrol", "exit 1")
    submit(account)
    account.command("scontrol", 'echo "scontrol $*" >>"$SLURM/calls"')
    assert release(account, "101", wanted="no") == ["kept ns-a 101"]
    account.job("102", "PENDING", account.root / POD / "job.sh")
    assert release(account, "102", wanted="no") == ["cancelled ns-a 102"]
    (account.claims / "ns-a.deleted").touch()
    assert release(account, "101", wanted="no") == ["cancelled ns-a 101"]
    assert account.calls("scontrol") == []


def test_without_tombstone_a_missing_folder_counts_after_a_long_time(account: Account) -> None:
    (account.root / ".remote-slurm/spool").mkdir(parents=True)
    account.job("101", "PENDING", account.root / POD / "job.sh")
    assert release(account, "101", wanted="never") == ["cancelled ns-a 101"]


def test_a_new_job_of_another_sidecar_is_left_held_if_its_folder_is_late(
    account: Account,
) -> None:
    (account.root / ".remote-slurm/spool").mkdir(parents=True)
    account.job("101", "PENDING", account.root / POD / "job.sh")
    assert release(account, "101", wanted="no") == ["kept ns-a 101"]
    (account.root / POD).mkdir()
    assert release(account, "101", wanted="never") == ["kept ns-a 101"]
    assert account.calls("scancel") == []


@pytest.mark.parametrize("script", ["submit", "release"])
def test_a_fence_that_cannot_be_created_belongs_to_no_other_job(account: Account, script: str) -> None:
    """In a full home, or where it is not in sight yet: the job stays held, and is released later."""
    account.in_front = "ln() { return 1; }\n"
    assert submit(account) == ["submitted ns-a 101"]
    if script == "release":
        assert release(account, "101") == ["unreleased 101"]
    assert account.calls("scancel") == account.calls("scontrol") == []
    account.in_front = ""
    assert release(account, "101") == ["released ns-a 101"]


@pytest.mark.parametrize("lost", ["killed", "refused"])
async def test_a_job_submitted_during_the_delete_does_not_stay_held(
    account: Account, tmp_path: Path, lost: str
) -> None:
    """sbatch is under way when the pod goes, and its script ends with it, or Slurm has timed out."""
    pod, gate, asked = Counted.at(account), account.home / "gate", account.home / "asked"
    real = (account.bin / "sbatch").read_text()
    wait = f'touch "{asked}"; until [ -e "{gate}" ]; do sleep 0.05; done\n'
    account.command("sbatch", wait + real)
    account.tell("sbatch.dies" if lost == "killed" else "sbatch.lies", "sbatch: error: Socket timed out on send/recv")
    async with sidecar(account, tmp_path / "state") as pods, asyncio.timeout(240):
        creating = asyncio.create_task(created(pods, pod))
        await until(asked.exists)
        pods.delete(pod.pod)
        await until(lambda: pod.pod.key not in pods.deletes)
        gate.touch()
        assert isinstance(await creating, RemoteSlurmError)
        await until(lambda: (account.slurm / "jobs/101/state").read_text().strip() == "CANCELLED")
    account.run_jobs()
    assert pod.runs == 0


async def test_logs_and_records_are_fetched_and_the_job_can_end(account: Account) -> None:
    submit(account)
    place = account.home / "it's a node" / POD
    for name in ("logs", "records"):
        (place / name).mkdir(parents=True)
        (place / name / "main").write_text(name)
    (place / "job-101.out").write_text("words")
    assert await account.site.fetch(POD, NodeFolder("101", str(place.parent)))
    assert {name: (account.root / POD / name).read_text() for name in ("logs/main", "records/main", "job-101.out")} == {
        "logs/main": "logs",
        "records/main": "records",
        "job-101.out": "words",
    }
    assert (place.parent / "fetched").exists()
    assert not (place.parent / "fetching").exists()


async def test_without_a_folder_nothing_is_fetched_and_the_job_not_notified(account: Account) -> None:
    place = account.home / "node" / POD
    place.mkdir(parents=True)
    assert not await account.site.fetch(POD, NodeFolder("101", str(place.parent)))
    assert account.calls("srun") == []


async def test_incomplete_logs_are_dropped_and_the_job_keeps_waiting(account: Account) -> None:
    submit(account)
    place = account.home / "node" / POD
    (place / "logs").mkdir(parents=True)
    account.command("srun", 'for line; do :; done; sh -c "$line" | head -c 100; exit 1')
    with pytest.raises(RemoteFailed):
        await account.site.fetch(POD, NodeFolder("101", str(place.parent)))
    assert not (account.root / POD / "logs").exists()
    assert not (place.parent / "fetched").exists()
    assert not list((account.root / ".remote-slurm/incoming").iterdir())


@pytest.mark.parametrize("code", [0, 2])
async def test_the_job_knows_of_the_transfer_and_a_failed_tar_is_none(account: Account, code: int) -> None:
    submit(account)
    place = account.home / "node" / POD
    (place / "logs").mkdir(parents=True)
    real = shutil.which("tar")
    account.command(
        "tar", f'case $1 in -cf) cp ../fetching "$HOME/told"; {real} "$@"; exit {code} ;; esac; {real} "$@"'
    )
    with pytest.raises(RemoteFailed) if code else nullcontext():
        await account.site.fetch(POD, NodeFolder("101", str(place.parent)))
    assert (account.home / "told").exists()
    assert (account.root / POD / "fetched").exists() == (place.parent / "fetched").exists() == (code == 0)
    assert not (place.parent / "fetching").exists()
