"""Submissions that are killed between any two of their steps: containers run once, whoever asks again, and whenever."""

import asyncio
from pathlib import Path

import pytest
from account import Account
from effort import SOAK
from local import Counted, created, ended, nodes, sidecar

from remote_slurm.errors import RemoteSlurmError

# The last of its eight steps is sbatch. It dies right before a step, or (the negative ones) right after it.
STEPS = [*range(1, 12), *range(-11, 0)] if SOAK else [2, 5, 7, 8, -7, -8]


async def killed_at(step: int, folder: Path, *, early: bool, shared_fs: bool) -> tuple[int, str]:
    """How often the container ran, and what became of the pod; `early`: its job starts before it is asked for again."""
    account = Account(folder / "home", ["sh"], shared_fs=shared_fs)
    account.count_steps()
    account.dies_at = step
    pod = Counted.at(account)
    async with sidecar(account, folder / "first") as first:
        if early:
            async with nodes(account):
                answer = await created(first, pod)
        else:
            answer = await created(first, pod)
    async with sidecar(account, folder / "second") as second, nodes(account):
        again = await created(second, pod)
        if isinstance(again, RemoteSlurmError):
            return pod.runs, str(again)
        status = await ended(second, pod)
    assert status["JID"] == again == answer
    assert account.jobs() == [answer]
    return pod.runs, status["containers"][0]["state"]["terminated"].get("message", "")


@pytest.mark.parametrize("nodes", ["nodes-share-files", "nodes-apart"])
@pytest.mark.parametrize("job", ["early", "late"])
async def test_a_submission_that_is_killed_anywhere_is_one_job(tmp_path: Path, job: str, nodes: str) -> None:
    how = {"early": job == "early", "shared_fs": nodes == "nodes-share-files"}
    # behind sbatch come those that claim and release the job
    steps = STEPS if how["shared_fs"] else [8, 9, 10, 11, -11]
    outcomes = await asyncio.gather(*(killed_at(step, tmp_path / str(step), **how) for step in steps))
    for runs, message in outcomes:
        if runs != 1:
            # killed right before sbatch: nobody can tell that it was not called, so its job is looked for, and given up
            assert runs == 0
            assert "Slurm never showed a job" in message
    assert sum(runs for runs, _ in outcomes) >= len(outcomes) - 1
