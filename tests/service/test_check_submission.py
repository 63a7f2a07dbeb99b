"""`check` asks Slurm about flavors, and compares the memory of pods with the site's default."""

from typing import Any, TypeVar

import pytest

from remote_slurm.domain.slurm.scontrol import SlurmSettings, parse_settings
from remote_slurm.errors import SlurmFailed
from remote_slurm.service.check.findings import CheckFailed, Passed
from remote_slurm.service.check.submission import SubmissionChecks, compare_memory
from remote_slurm.site.operation import Operation
from remote_slurm.site.operations.try_submit import TriedJob
from tests.domain.podspec import config

_T = TypeVar("_T")

GOOD = TriedJob(0, ("sbatch: Job 1 to start at 2026-11-30T09:00:00 using 1 processors on nodes n1 in partition main",))
WRONG = TriedJob(1, ("allocation failure: Invalid partition name specified",))
BUSY = TriedJob(1, ("allocation failure: Required node not available (down, drained or reserved)",))
GPU = {"gpu": {"SlurmFlags": ["--partition=gpu"]}}
MAIN = "PartitionName=main Default=YES State=UP DefMemPerCPU=2048"
MEMORY = "SelectTypeParameters = CR_Core_Memory"


class Answers:
    """A site that gives these answers, and keeps what was asked."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[Operation[Any]] = []

    async def ask(self, operation: Operation[_T]) -> _T:
        self.asked.append(operation)
        answer: Any = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


async def submission(*tried: TriedJob, **keys: Any) -> Passed:
    return await SubmissionChecks(config(**keys), Answers([*tried])).submission()


async def test_each_flavor_is_tried() -> None:
    site = Answers([GOOD, GOOD])
    found = await SubmissionChecks(config(Flavors=GPU), site, "--account=a").submission()
    assert found == Passed("sbatch --test-only accepts a pod without further options and the flavor gpu")
    plain, gpu, end = site.asked[0].payload.split()
    assert end == b"."
    assert plain != gpu


async def test_a_flavor_that_slurm_refuses() -> None:
    with pytest.raises(
        CheckFailed, match="refuses pods of the flavor gpu: allocation failure: Invalid partition"
    ) as raised:
        await submission(GOOD, WRONG, Flavors=GPU)
    assert raised.value.remedy.startswith("correct SlurmFlags")


async def test_a_site_that_wants_options_is_a_warning() -> None:
    found = await submission(WRONG)
    assert "refuses a pod without further options now: allocation failure" in found.message
    assert "DefaultFlavor" in found.remedy


async def test_a_site_whose_nodes_are_down_is_a_warning() -> None:
    found = await submission(GOOD, BUSY, Flavors=GPU)
    assert "refuses the flavor gpu now" in found.message
    assert "try again later" in found.remedy


def memory(*lines: str, **keys: Any) -> Passed:
    return compare_memory(config(**keys), parse_settings([MAIN], lines or [MEMORY]))


def test_pods_get_the_default_of_the_site() -> None:
    assert memory() == Passed("pods that request no memory get the default of partition main, 2048 MiB per CPU")


def test_the_default_of_the_go_plugin_is_compared() -> None:
    found = memory(MEMORY, "ConstrainRAMSpace = yes", SidecarURL="x")
    assert found.message == (
        "pods that request no memory get 1 MiB (DefaultMemory), and the site ends jobs that use more; "
        "the default of partition main is 2048 MiB per CPU"
    )
    assert found.remedy == "set DefaultMemory to none, so that the site's default applies"


def test_more_memory_than_the_default_is_right() -> None:
    assert memory(DefaultMemory="4Gi").remedy == ""


def test_a_site_without_a_default_gives_all_of_a_node() -> None:
    found = compare_memory(config(), parse_settings(["PartitionName=main Default=YES"], [MEMORY]))
    assert "gets all memory of its node" in found.message
    assert "set DefaultMemory" in found.remedy


def test_a_site_that_allocates_no_memory() -> None:
    assert "allocates no memory" in memory("SelectTypeParameters = CR_CPU").message


def test_a_site_that_shows_nothing() -> None:
    assert "unknown" in compare_memory(config(), SlurmSettings()).message


async def test_a_scontrol_that_fails() -> None:
    site = Answers(SlurmFailed("scontrol failed with exit code 1: denied"))
    found = await SubmissionChecks(config(), site).memory()
    assert found == Passed("the site's default is unknown: scontrol failed with exit code 1: denied")


def test_the_partition_of_the_default_flavor_counts() -> None:
    lines = [MAIN, "PartitionName=gpu DefMemPerNode=9000"]
    keys = {"Flavors": GPU, "DefaultFlavor": "gpu"}
    found = compare_memory(config(**keys), parse_settings(lines, [MEMORY]))
    assert "partition gpu, 9000 MiB per node" in found.message
