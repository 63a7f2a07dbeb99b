"""Scripts that are killed between any two of their steps: containers run once, whichever sidecar asks again."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.payload import together
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.submit_outcome import Deleted, SbatchFailed, Submitted
from remote_slurm.errors import OutcomeUnknown, RemoteSlurmError, SubmissionRefused
from remote_slurm.job import SCRIPTS
from remote_slurm.site.operations import submit
from remote_slurm.site.remote_site import RemoteSite
from tests.hypothesis_settings import SOAK
from tests.site.account import Account
from tests.site.local_sidecar import PATIENCE, Counted, created, ended, nodes, sidecar
from tests.site.payloads import POD, packed

# It dies right before a step, or (the negative ones) right after it. The first ones are of the session itself.
# The step of sbatch, by whether nodes share files
BEFORE_SBATCH = {True: 15, False: 12}


def steps_of(at: int, *, early: bool, shared_fs: bool) -> list[int]:
    """Some steps around sbatch, which is at that step; all of them in a soak."""
    if SOAK:
        return [*range(1, at + 5), *range(-at - 4, 0)]
    if not shared_fs:
        # after sbatch come the steps that take the fence and release the job, and only then may a job start early
        return [at + 1, at + 3, -at] if early else [at + 2, -at, -at - 3]
    return [at, -at] if early else [at - 5, at - 2, at - 1, at, 1 - at, -at]


async def killed_at(step: int, folder: Path, *, early: bool, shared_fs: bool) -> tuple[int, str]:
    """How often the container ran, and what became of the pod; `early`: its job starts before it is asked for again."""
    account = Account(folder / "home", ["sh"], shared_fs=shared_fs)
    account.count_steps()
    account.dies_at = step
    pod = Counted.at(account)
    # a job that is there is looked for until it is found, however busy the machine is
    before_sbatch = BEFORE_SBATCH[shared_fs]
    patience = PATIENCE if step == before_sbatch else replace(PATIENCE, search=100)
    async with sidecar(account, folder / "first", patience) as first:
        if early:
            async with nodes(account):
                answer = await created(first, pod)
        else:
            answer = await created(first, pod)
    assert step != before_sbatch or account.step(step) == "sbatch"
    async with sidecar(account, folder / "second", patience) as second, nodes(account):
        again = await created(second, pod)
        if isinstance(again, RemoteSlurmError):
            return pod.runs, str(again)
        status = await ended(second, pod)
    assert status["JID"] == again == answer
    assert account.jobs() == [answer]
    return pod.runs, status["containers"][0]["state"]["terminated"].get("message", "")


@pytest.mark.parametrize("shared_fs", [True, False], ids=["nodes-share-files", "nodes-apart"])
async def test_a_submission_that_is_killed_anywhere_is_one_job(tmp_path: Path, *, shared_fs: bool) -> None:
    before_sbatch = BEFORE_SBATCH[shared_fs]
    cases = [
        (early, step) for early in (True, False) for step in steps_of(before_sbatch, early=early, shared_fs=shared_fs)
    ]
    outcomes = await asyncio.gather(
        *(killed_at(step, tmp_path / f"{early}{step}", early=early, shared_fs=shared_fs) for early, step in cases)
    )
    for (early, step), (runs, message) in zip(cases, outcomes, strict=True):
        if step == before_sbatch:
            # the call of sbatch cannot be excluded, so its job is looked for, and given up
            assert (early, runs, "Slurm never showed a job" in message) == (early, 0, True)
        else:
            assert (early, step, runs) == (early, step, 1)


@dataclass
class SubmittedArray:
    """Three pods that a script has submitted as one array, and which died at that step."""

    account: Account
    pods: list[Counted]

    @classmethod
    def killed_at(cls, step: int, folder: Path) -> "SubmittedArray":
        account = Account(folder, ["sh"])
        account.count_steps()
        account.dies_at = step
        pods = [Counted.at(account, name=f"runs-{number}") for number in range(3)]
        payloads = {each.pod.key: payload(plan_job(each.request, account.config), SCRIPTS) for each in pods}
        libraries = {each.library for each in payloads.values()}
        operation = submit.operation(account.config, payloads, libraries, 250)
        account.run(operation.script({"root": account.root_setting, "sidecar": "s", "epoch": ""}), operation.payload)
        return cls(account, pods)

    async def run_once_each(self, folder: Path, search: float = 100) -> None:
        """Start a sidecar: each pod runs once. `search` is short if no sbatch has come to a job."""
        async with sidecar(self.account, folder, replace(PATIENCE, search=search)) as second, nodes(self.account):
            answers = await asyncio.gather(*(created(second, each) for each in self.pods))
            for each, answer in zip(self.pods, answers, strict=True):
                assert answer in ("", (await ended(second, each))["JID"])
        assert [each.runs for each in self.pods] == [1] * len(self.pods)


async def test_an_array_that_is_killed_anywhere_is_one_job_for_each_pod(tmp_path: Path) -> None:
    whole = SubmittedArray.killed_at(1000, tmp_path / "whole").account
    at = next(step for step in range(1, whole.steps + 1) if whole.step(step) == "sbatch")
    assert whole.jobs() == ["101_0", "101_1", "101_2"]
    some = [at - 3, at - 2, at - 1, at, 2 - at, 1 - at, -at, at + 1, at + 2]

    async def killed(step: int) -> None:
        array = SubmittedArray.killed_at(step, tmp_path / f"home{step}")
        await array.run_once_each(tmp_path / f"state{step}", 2 if step in (at, 1 - at) else 100)
        assert len(array.account.jobs()) == 3, step

    if SOAK:
        for step in [*range(1, at + 4), *range(-at - 3, 0)]:
            await killed(step)
    else:
        await asyncio.gather(*map(killed, some))


async def given_up(step: int, folder: Path, array: str) -> SubmittedArray:
    """An array whose outcome is unknown, and whose abandon.sh was killed at that step."""
    whole = SubmittedArray.killed_at(1000, folder / "whole").account
    sbatch = next(step for step in range(1, whole.steps + 1) if whole.step(step) == "sbatch")
    submitted = SubmittedArray.killed_at(sbatch if array == "never-comes" else -sbatch, folder / "home")
    account, jobs = submitted.account, submitted.account.slurm / "jobs"
    if array == "comes-later":
        jobs.rename(account.home / "later")
        jobs.mkdir()
    account.forget_steps()
    account.dies_in, account.dies_at = "abandon", step
    with suppress(OutcomeUnknown):
        await account.site.abandon(submitted.pods[0].pod.key)
    if array == "comes-later":
        jobs.rmdir()
        (account.home / "later").rename(jobs)
    return submitted


@pytest.mark.parametrize("array", ["never-comes", "is-shown", "comes-later"])
async def test_an_array_that_is_given_up_half_runs_each_pod_once(tmp_path: Path, array: str) -> None:
    whole = (await given_up(1000, tmp_path / "whole", array)).account
    names = [whole.step(step) for step in range(1, whole.steps + 1)]
    some = [step for step, name in enumerate(names, 1) if name in {"mv", "ln"}]
    every = range(1, len(names) + 1)

    async def killed_at(step: int) -> None:
        submitted = await given_up(step, tmp_path / f"killed{step}", array)
        await submitted.run_once_each(tmp_path / f"state{step}", 2)
        fences = {folder: folder / "fence" for folder in submitted.account.root.glob(".remote-slurm/arrays/*")}
        running = [
            folder for folder, fence in fences.items() if fence.is_symlink() and fence.readlink() != Path("void")
        ]
        assert all((folder / "job.sh").exists() for folder in running), "polls know the tasks"

    await asyncio.gather(*(killed_at(sign * step) for step in (every if SOAK else some) for sign in (1, -1)))


async def test_a_task_that_is_cancelled_while_it_waits_ends_and_no_other(tmp_path: Path) -> None:
    array = SubmittedArray.killed_at(1000, tmp_path / "home")
    account = array.account
    async with sidecar(account, tmp_path / "first") as first:
        answers = [await created(first, each) for each in array.pods]
        account.alter("101_1", 'rm -r "$job"')  # as scancel does
        assert (await ended(first, array.pods[1]))["JID"] == answers[1] == "101_1"
    async with sidecar(account, tmp_path / "second") as second, nodes(account):
        for each, answer in zip(array.pods, answers, strict=True):
            assert await created(second, each) == answer
            await ended(second, each)
    assert [each.runs for each in array.pods] == [1, 0, 1]


async def test_fences_that_are_closed_half_end_the_cancelled_tasks_and_no_other(tmp_path: Path) -> None:
    async def killed_at(step: int) -> list[str]:
        array = SubmittedArray.killed_at(1000, tmp_path / f"home{step}")
        account = array.account
        account.forget_steps()
        account.dies_in, account.dies_at = "close_fences", step
        async with sidecar(account, tmp_path / f"first{step}") as first:
            answers = [await created(first, each) for each in array.pods]
            for task in ("101_1", "101_2"):
                account.alter(task, 'rm -r "$job"')  # as scancel does
            await until(lambda: account.dies_at is None)
            for each, answer in zip(array.pods[1:], answers[1:], strict=True):
                assert (await ended(first, each))["JID"] == answer
        async with sidecar(account, tmp_path / f"second{step}") as second, nodes(account):
            for each, answer in zip(array.pods, answers, strict=True):
                assert await created(second, each) == answer
                await ended(second, each)
        assert [each.runs for each in array.pods] == [1, 0, 0]
        return [account.step(number) for number in range(1, account.steps + 1)]

    names = await killed_at(1000)
    some = [step for step, name in enumerate(names, 1) if SOAK or name == "ln"]
    await asyncio.gather(*(killed_at(sign * step) for step in some for sign in (1, -1)))


# Right before each step of scripts that have no more than these; in a soak also right after each
ANYWHERE = [*range(1, 24), *(range(-22, 0) if SOAK else ())]
FEW = [*range(1, 11), *(range(-9, 0) if SOAK else ())]
NOT_REACHED = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"


def mortal(folder: Path, script: str, step: int) -> Account:
    """An account at which the next script of that name is killed at that step."""
    account = Account(folder / f"{script}{step}", ["sh"])
    account.count_steps()
    account.dies_in, account.dies_at = script, step
    return account


async def until_gone(site: RemoteSite, *, force: bool) -> None:
    """As deletes are carried out: again and again, whatever became of the last time."""
    async with asyncio.timeout(240):
        gone = False
        while not gone:
            with suppress(OutcomeUnknown):
                gone = POD in (await site.delete({POD: force})).gone


async def until(condition: Callable[[], object]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("state", "force"), [("PENDING", False), ("RUNNING", True), ("COMPLETED", False)])
async def test_a_delete_that_is_killed_anywhere_is_carried_out(tmp_path: Path, state: str, *, force: bool) -> None:
    ended = "COMPLETED" if state == "COMPLETED" else "CANCELLED"

    async def killed_at(step: int) -> None:
        account = mortal(tmp_path, "delete", step)
        assert await account.site.submit(POD, packed()) == Submitted("101")
        account.job("101", state, account.root / POD / "job.sh")
        await until_gone(account.site, force=force)
        assert [path.name for path in account.root.iterdir()] == [".remote-slurm"]
        assert sorted(path.name for path in account.claims.iterdir()) == [f"{POD}.deleted", f"{POD}.job"]
        assert (account.slurm / "jobs/101/state").read_text().strip() == ended
        assert await account.site.submit(POD, packed()) == Deleted()
        assert account.jobs() == ["101"]
        assert step != max(ANYWHERE) or account.steps < step, "there are steps that none died at"

    await asyncio.gather(*map(killed_at, ANYWHERE))


async def test_a_delete_is_finished_by_a_sidecar_without_its_journal(account: Account) -> None:
    """Killed after its tombstone was there, on a machine whose disk is gone."""
    assert await account.site.submit(POD, packed()) == Submitted("101")
    (account.claims / f"{POD}.deleted").touch()
    async with sidecar(account, account.home / "state"), asyncio.timeout(240):
        await until(lambda: not (account.root / POD).exists())
    assert (account.slurm / "jobs/101/state").read_text().strip() == "CANCELLED"


async def test_the_next_sidecar_finishes_a_half_withdrawn_refusal(tmp_path: Path) -> None:
    async def killed_at(step: int) -> None:
        account = mortal(tmp_path, "withdraw", step)
        account.refuse(NOT_REACHED)
        runs = account.home / "runs"
        assert isinstance(await account.site.submit(POD, packed(text=f"echo ran >>{runs}")), SbatchFailed)
        with suppress(OutcomeUnknown):
            await account.site.withdraw(POD, keep_folder=True)
        (account.slurm / "sbatch.refuses").unlink()
        async with sidecar(account, account.home / "state"), nodes(account), asyncio.timeout(240):
            await until(lambda: runs.exists() and runs.read_text())
        account.run_jobs()
        assert (account.jobs(), runs.read_text()) == (["101"], "ran\n")
        assert step != max(FEW) or account.steps < step, "there are steps that none died at"

    await asyncio.gather(*map(killed_at, FEW))


async def test_half_withdrawn_refusals_are_reported_again(tmp_path: Path) -> None:
    """None of them is ever an attempt with unknown outcome."""
    kept, dropped = ["ns-1", "ns-2"], ["ns-3", "ns-4"]

    async def killed_at(step: int) -> None:
        account = mortal(tmp_path, "withdraw", step)
        account.refuse(NOT_REACHED)
        account.submit(" ".join(kept + dropped), together(map(packed, kept + dropped)))
        account.ask("withdraw", kept=" ".join(kept), dropped=" ".join(dropped))
        (account.slurm / "sbatch.refuses").unlink()
        for pod in kept + dropped:
            while isinstance(outcome := await account.site.submit(pod, packed(pod)), SbatchFailed):
                assert outcome.words == NOT_REACHED.removeprefix("sbatch: error: ")
                await account.site.withdraw(pod, keep_folder=pod in kept)
            assert isinstance(outcome, Submitted)
        assert account.jobs() == ["101", "102", "103", "104"]
        assert step != max(FEW) or account.steps < step, "there are steps that none died at"

    await asyncio.gather(*map(killed_at, FEW))


async def test_after_a_half_withdrawn_refusal_the_pod_can_be_created(tmp_path: Path) -> None:
    for step in FEW:
        account = mortal(tmp_path, "withdraw", step)
        account.refuse("sbatch: error: invalid partition specified: gold")
        refused = await account.site.submit(POD, packed())
        with suppress(OutcomeUnknown):
            await account.site.withdraw(POD, keep_folder=False)
        assert await account.site.submit(POD, packed()) == refused
        await account.site.withdraw(POD, keep_folder=False)
        (account.slurm / "sbatch.refuses").unlink()
        assert await account.site.submit(POD, packed()) == Submitted("101")


async def test_a_submission_that_is_given_up_half_never_runs(tmp_path: Path) -> None:
    async def killed_at(step: int) -> None:
        account = mortal(tmp_path, "abandon", step)
        pod = Counted.at(account)
        account.tell("sbatch.dies")
        account.tell("squeue.fails", "slurm_load_jobs error: Unable to contact slurm controller")
        async with sidecar(account, account.home / "state") as pods:
            assert isinstance(await created(pods, pod), SubmissionRefused)
        account.run_jobs()
        assert (account.jobs(), pod.runs) == (["101"], 0)
        assert (await account.site.recover()).given_up == {pod.pod.key}
        assert step != max(FEW) or account.steps < step, "there are steps that none died at"

    await asyncio.gather(*map(killed_at, FEW))
