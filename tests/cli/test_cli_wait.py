"""`remote-slurm wait`: kubectl's words and exit codes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.slurm.job_states import JobState
from tests.cli.made_up_site import Served, served
from tests.cli.program import Program


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as found:
        found.add(1, "team/runs")
        found.add(2, "team/waits", JobState.PENDING)
        await found.polled()
        yield found


@pytest.mark.parametrize("condition", ["condition=Ready", "running", "jsonpath={.status.phase}=Running"])
async def test_a_condition_that_is_met_ends_the_wait(sidecar: Served, condition: str) -> None:
    done = await sidecar("wait", f"--for={condition}", "team/runs")
    assert (done.returncode, done.stdout) == (0, "pod/runs condition met\n")


async def test_a_pod_that_starts_later_is_waited_for(sidecar: Served) -> None:
    waiting = asyncio.create_task(sidecar("wait", "--for=running", "--timeout=60s", "team/waits"))
    await asyncio.sleep(0.2)
    sidecar.account.start(sidecar.account.jobs["2"])
    assert (await waiting).stdout == "pod/waits condition met\n"


async def test_a_pod_that_has_failed_never_becomes_ready(sidecar: Served) -> None:
    waiting = asyncio.create_task(sidecar("wait", "--for=succeeded", "--timeout=1h", "team/runs"))
    sidecar.account.finish(sidecar.account.jobs["1"], 3)
    done = await waiting
    assert (done.returncode, done.stdout) == (1, "")
    assert "pod team/runs cannot meet succeeded: it has failed: " in done.stderr
    assert "exit code 3" in done.stderr


async def test_the_end_of_all_pods_of_a_namespace(sidecar: Served) -> None:
    waiting = asyncio.create_task(sidecar("wait", "--for=delete", "--timeout=60s", "--all", "-n", "team"))
    await asyncio.sleep(0.5)  # a command of the test's own would share its output with this one
    for number, name in enumerate(("runs", "waits"), 1):
        metadata = {"name": name, "namespace": "team", "uid": str(number)}
        sidecar.pods.delete(parse_pod({"metadata": metadata, "spec": {"containers": []}}, "delete"))
    done = await waiting
    assert (done.returncode, sorted(done.stdout.splitlines())) == (
        0,
        ["pod/runs condition met", "pod/waits condition met"],
    )


@pytest.mark.parametrize("which", [["team/gone"], ["-l", "app=gone"], ["team/gone", "other/gone"]])
async def test_pods_that_are_gone_already_are_not_waited_for(sidecar: Served, which: list[str]) -> None:
    """As with kubectl: a script that waits for a delete may come too late."""
    done = await sidecar("wait", "--for=delete", *which)
    assert (done.returncode, done.stdout) == (0, "")
    assert ("there is no pod 'team/gone' at" in done.stderr) is ("team/gone" in which)
    assert (await sidecar("wait", "--for=running", *which)).returncode == 1


async def test_one_that_is_gone_does_not_keep_the_others_from_being_waited_for(sidecar: Served) -> None:
    done = await sidecar("wait", "--for=delete", "--timeout=0", "team/gone", "team/runs")
    assert (done.returncode, done.stdout) == (1, "")
    assert "timed out waiting for delete of pod team/runs" in done.stderr


async def test_the_time_is_over(sidecar: Served) -> None:
    done = await sidecar("wait", "--for=running", "--timeout=0", "team/waits")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "remote-slurm: timed out waiting for condition=Ready of pod team/waits\n"


async def test_a_pod_that_is_not_there_is_named(sidecar: Served) -> None:
    done = await sidecar("wait", "--for=ended", "team/nobody")
    assert done.returncode == 1
    assert "there is no pod 'team/nobody' at" in done.stderr


def test_a_condition_that_is_none_is_refused(program: Program) -> None:
    done = program("wait", "--for=condition=Sleeping", "x")
    assert done.returncode == 2
    assert "must be condition=Ready, running, succeeded, failed, ended or delete" in done.stderr


async def test_a_pod_that_is_deleted_meanwhile_ends_the_wait(sidecar: Served) -> None:
    """kubernetes/kubectl#1482: the wait went on until its timeout."""
    waiting = asyncio.create_task(sidecar("wait", "--for=failed", "--timeout=1h", "team/waits"))
    await asyncio.sleep(0.2)
    await sidecar("delete", "team/waits")
    done = await waiting
    assert done.returncode == 1
    assert "pod team/waits cannot meet failed: it is gone" in done.stderr
