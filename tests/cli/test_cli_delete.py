"""`remote-slurm delete`: pods by name, and many at once only if a person or a script says so."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from remote_slurm.domain.slurm.job_states import JobState
from tests.cli.made_up_site import Served, served


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as found:
        found.add(1, "team/one")
        found.add(2, "team/two", JobState.PENDING)
        found.add(3, "other/one")
        await found.polled()
        yield found


async def left(sidecar: Served) -> list[str]:
    return (await sidecar("status", "-o", "name")).stdout.split()


async def test_all_pods_of_a_namespace_go_without_a_question(sidecar: Served) -> None:
    done = await sidecar("delete", "--all", "-n", "team", "--yes")
    assert (done.returncode, done.stdout) == (0, "team-1 deleted\nteam-2 deleted\n")
    assert await left(sidecar) == ["other/one"]


async def test_without_a_person_nothing_is_deleted(sidecar: Served) -> None:
    done = await sidecar("delete", "--state", "waiting")
    assert done.returncode == 1
    assert "1 pod would be deleted, and standard input is no terminal to ask a person: add --yes" in done.stderr
    assert len(await left(sidecar)) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "no pod is given: name pods, or select them with --all, --selector or --state"),
        (["-n", "team"], "no pod is given"),
        (["team/one", "--all"], "POD goes without --all, --selector and --state"),
    ],
)
async def test_names_and_filters_do_not_go_together(sidecar: Served, words: list[str], sentence: str) -> None:
    done = await sidecar("delete", *words)
    assert done.returncode == 1
    assert sentence in done.stderr


async def test_no_such_pods_is_no_error(sidecar: Served) -> None:
    done = await sidecar("delete", "--state", "failed", "--yes")
    assert (done.returncode, done.stdout) == (0, "")
    assert "there are no such pods at" in done.stderr
