"""Deletes of many pods at once: they share squeue, scancel and rm, and each has its own outcome."""

import shutil
from collections.abc import Iterable

import pytest

from tests.site.account import Account


def pods(number: int, namespace: str = "ns") -> list[str]:
    return [f"{namespace}-{index:03}" for index in range(number)]


def with_jobs(account: Account, names: Iterable[str], state: str = "PENDING") -> dict[str, str]:
    """Pods with a job each, by pod, without one sbatch after another."""
    jobs = {pod: str(101 + index) for index, pod in enumerate(names)}
    for pod, job in jobs.items():
        folder = account.root / pod
        folder.mkdir(parents=True)
        (folder / "job.sh").write_text("true")
        (folder / "job.id").write_text(f"{job}\n")
        account.job(job, state, folder / "job.sh")
    return jobs


def states(account: Account) -> dict[str, str]:
    return {job: (account.slurm / "jobs" / job / "state").read_text().strip() for job in account.jobs()}


async def test_pending_pods_are_cancelled_by_one_scancel_and_gone_at_once(each_account: Account) -> None:
    jobs = with_jobs(each_account, pods(40))
    deleted = await each_account.site.delete(dict.fromkeys(jobs, False))
    assert each_account.calls("scancel") == [f"scancel --ctld {' '.join(jobs.values())}"]
    assert deleted.gone == set(jobs)
    assert [path.name for path in each_account.root.iterdir()] == [".remote-slurm"]
    assert sorted(path.name for path in each_account.claims.iterdir()) == sorted(
        f"{pod}.{suffix}" for pod in jobs for suffix in ("deleted", "job")
    )


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETED"])
@pytest.mark.parametrize("numbers", [(2, 40), (51, 100)])
async def test_the_number_of_processes_does_not_grow_with_the_number_of_pods(
    account: Account, state: str, numbers: tuple[int, int]
) -> None:
    account.count_steps()
    account.dies_in = "delete"
    taken = []
    await account.site.delete({"ns-other": False})  # makes DataRootFolder
    for number in numbers:
        jobs = with_jobs(account, pods(number, f"ns{number}"), state)
        account.dies_at = 1000
        await account.site.delete(dict.fromkeys(jobs, False))
        taken.append(account.steps)
        for path in (account.slurm / "steps").iterdir():
            path.unlink()
        await account.site.delete(dict.fromkeys(jobs, True))
        await account.site.delete(dict.fromkeys(jobs, True))
    assert taken[0] == taken[1]


async def test_many_folders_are_removed_at_once_on_a_slow_file_system(account: Account) -> None:
    """One process after another would not come to the last of them before its deadline."""
    jobs = with_jobs(account, pods(160), "COMPLETED")
    account.command("rm", f'for each; do case $each in */*) sleep 0.1 ;; esac; done\nexec {shutil.which("rm")} "$@"\n')
    assert (await account.site.delete(dict.fromkeys(jobs, False))).gone == set(jobs)


async def test_running_pods_are_signalled_once_with_their_grace_periods(account: Account) -> None:
    jobs = with_jobs(account, pods(3), "RUNNING")
    first = next(iter(jobs))
    for _ in range(2):
        assert (await account.site.delete(dict.fromkeys(jobs, False), {first: 7})).gone == set()
    assert account.calls("scancel") == [f"scancel --ctld --batch --signal=TERM {' '.join(jobs.values())}"]
    reported = {pod: (account.claims / f"{pod}.stop/grace").exists() for pod in jobs}
    assert reported == {pod: pod == first for pod in jobs}


async def test_each_job_of_a_burst_is_treated_by_its_state(each_account: Account) -> None:
    waiting, running, forced, suspended, ending, ended = pods(6)
    kinds = {
        waiting: "PENDING",
        running: "RUNNING",
        forced: "RUNNING",
        suspended: "SUSPENDED",
        ending: "COMPLETING",
        ended: "COMPLETED",
    }
    jobs = with_jobs(each_account, kinds)
    for pod, state in kinds.items():
        each_account.job(jobs[pod], state, each_account.root / pod / "job.sh")
    deleted = await each_account.site.delete({pod: pod == forced for pod in kinds})
    assert deleted.gone == {waiting, forced, ended}
    assert each_account.calls("scancel") == [
        f"scancel --ctld --batch --signal=TERM {jobs[running]}",
        f"scancel --ctld {jobs[waiting]} {jobs[forced]}",
    ]


async def test_a_job_that_cannot_be_signalled_delays_no_other(account: Account) -> None:
    """Its node does not answer, or it has ended meanwhile: scancel fails for all that it was given."""
    jobs = with_jobs(account, pods(3), "RUNNING")
    broken = jobs["ns-001"]
    account.command("scancel", f'echo "scancel $*" >>"$SLURM/calls"; case " $* " in *" {broken} "*) exit 1 ;; esac')
    for _ in range(2):
        await account.site.delete(dict.fromkeys(jobs, False))
    calls = [call.removeprefix("scancel --ctld --batch --signal=TERM ") for call in account.calls("scancel")]
    assert calls == ["101 102 103", "101", "102", "103", "102"]


async def test_a_folder_that_cannot_be_removed_holds_up_no_other_pod(account: Account) -> None:
    jobs = with_jobs(account, pods(4), "COMPLETED")
    stuck = "ns-002"
    account.command(
        "rm", f"case $* in *{stuck}*) echo 'rm: Device or resource busy' >&2; exit 1; esac\nexec /bin/rm \"$@\""
    )
    deleted = await account.site.delete(dict.fromkeys(jobs, False))
    assert deleted.gone == set(jobs) - {stuck}
    assert deleted.stuck == {stuck: "rm: Device or resource busy"}
    (account.bin / "rm").unlink()
    assert (await account.site.delete({stuck: False})).gone == {stuck}


async def test_only_jobs_of_the_pods_that_were_asked_for_are_cancelled(account: Account) -> None:
    """Also if the id of one job is the end of another, or of a pod's name."""
    jobs = with_jobs(account, pods(3))
    account.job("1101", "RUNNING", "/home/somebody/job.sh")
    account.job("1102", "PENDING", account.root / "ns-0012" / "job.sh")
    await account.site.delete({"ns-001": True})
    assert states(account) == {
        "101": "PENDING",
        "102": "CANCELLED",
        "103": "PENDING",
        "1101": "RUNNING",
        "1102": "PENDING",
    }
    assert jobs["ns-001"] == "102"
