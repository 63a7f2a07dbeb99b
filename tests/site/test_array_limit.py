"""How large job arrays are after Slurm has refused some: a wrong option of pods does not make them smaller."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_array import ArrayOptions, ArrayTask
from remote_slurm.domain.plan.payload import Payload, archive
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.slurm.refusals import Refusal
from remote_slurm.domain.submit_outcome import SbatchFailed
from remote_slurm.site.array_limit import FORGET_SECONDS, ArrayLimit
from remote_slurm.site.batcher import MOST_REQUESTS
from remote_slurm.site.remote_site import RemoteSite
from tests.site.account import Account
from tests.site.local_sidecar import Counted, created, sidecar

# The first ones leave at once, alone, and the others gather meanwhile
PODS = 20
WRONG = "sbatch: error: Batch job submission failed: Invalid qos specification"


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(tmp_path, ["sh"])


def packed(pod: str) -> Payload:
    files = [File("job.sh", b"#!/bin/bash -p\ntrue\n", 0o700)]
    return Payload(pod, archive(pod, files), task=ArrayTask(ArrayOptions("#SBATCH --no-requeue"), pod))


async def burst(site: RemoteSite, name: str) -> None:
    await asyncio.gather(*(site.submit(f"{name}-{number}", packed(f"{name}-{number}")) for number in range(PODS)))


def sizes(account: Account) -> list[int]:
    """How many tasks each array has that sbatch was called for, in order; 1 for a job of its own."""
    calls = (account.slurm / "asked").read_text().splitlines()
    return [len(match[1].split(",")) if (match := re.search("--array=([0-9,]+)", call)) else 1 for call in calls]


@pytest.fixture
def note_calls(account: Account) -> Callable[[int], None]:
    """Let sbatch refuse arrays of more than so many tasks, and note how it was called."""
    (account.bin / "sbatch").rename(account.bin / "sbatch.real")

    def refuse_more_than(most: int) -> None:
        commas = "*,".join(["--array="] + [""] * most)
        account.command(
            "sbatch",
            f'echo "$*" >>"$SLURM/asked"; case "$*" in *{commas}*) echo "{WRONG}" >&2; exit 1 ;; esac; '
            f'exec {account.bin}/sbatch.real "$@"',
        )

    return refuse_more_than


async def test_a_refusal_of_pods_and_arrays_alike_makes_arrays_no_smaller(
    account: Account, note_calls: Callable[[int], None]
) -> None:
    note_calls(MOST_REQUESTS)
    site = account.site
    account.refuse(WRONG)
    await burst(site, "wrong")
    wrong = sizes(account)
    (account.slurm / "sbatch.refuses").unlink()
    await burst(site, "right")
    assert 1 in wrong
    assert max(sizes(account)[len(wrong) :]) > min(size for size in wrong if size > 1)


async def test_pods_of_a_refused_array_go_in_smaller_ones(account: Account, note_calls: Callable[[int], None]) -> None:
    note_calls(6)
    account.tell("sbatch.slow", "0.5")  # so that the others gather
    account.poll_seconds = 5
    pods = [Counted.at(account, f"runs-{number}") for number in range(2 * PODS)]
    async with sidecar(account, account.home / "state") as serving:
        await asyncio.gather(*(created(serving, each) for each in pods[:PODS]))
        first = sizes(account)
        await asyncio.gather(*(created(serving, each) for each in pods[PODS:]))
        second = sizes(account)[len(first) :]
    assert max(first) > 6
    assert 1 < max(second) <= max(first) / 2
    assert len(account.jobs()) == len(pods)


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def limit(now: list[float]) -> ArrayLimit:
    return ArrayLimit(enabled=True, clock=lambda: now[0])


def test_a_refusal_alone_changes_nothing(limit: ArrayLimit) -> None:
    limit.failed(SbatchFailed(Refusal.FOR_NOW, "AssocMaxSubmitJobLimit", 250))
    limit.accepted_smaller(than=0)
    assert limit.most_tasks == MOST_REQUESTS


@pytest.mark.parametrize(("refused", "most"), [(250, 125), (9, 4), (3, 1), (2, 1)])
def test_arrays_are_half_as_large_as_one_that_was_refused(limit: ArrayLimit, refused: int, most: int) -> None:
    limit.accepted_smaller(than=refused)
    assert limit.most_tasks == most
    limit.accepted_smaller(than=250)
    assert limit.most_tasks == most


def test_arrays_grow_again(limit: ArrayLimit, now: list[float]) -> None:
    limit.accepted_smaller(than=100)
    for minutes, most in ((9, 50), (11, 100), (21, 200), (31, MOST_REQUESTS)):
        now[0] = minutes * 60
        assert limit.most_tasks == most
    assert FORGET_SECONDS == 600


def test_there_is_no_array_where_they_are_off() -> None:
    limit = ArrayLimit(enabled=False)
    limit.accepted_smaller(than=2)
    assert limit.most_tasks == 1
