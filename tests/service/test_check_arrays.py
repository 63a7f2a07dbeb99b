"""`check` shows whether like pods become job arrays, and why not."""

from typing import Any

import pytest

from remote_slurm.domain.slurm.scontrol import parse_settings
from remote_slurm.errors import SlurmFailed
from remote_slurm.service.check.arrays import check_arrays
from remote_slurm.service.check.findings import Passed
from remote_slurm.site.operations.try_submit import TriedJob
from tests.domain.podspec import config
from tests.service.test_check_submission import GOOD, Answers

FORBIDDEN = TriedJob(1, ("sbatch: error: job arrays are not allowed here", "allocation failure: Unspecified error"))


async def found(*tried: TriedJob, size: str = "1001", **keys: Any) -> Passed:
    settings = parse_settings([], [f"MaxArraySize = {size}"])
    return await check_arrays(config(**keys), Answers(settings, [*tried]))


async def test_arrays_that_are_used() -> None:
    assert await found(GOOD, JobArrays="auto") == Passed(
        "pods with identical sbatch options that arrive together are one array of at most 250 tasks; "
        "the site allows 1000 tasks (MaxArraySize)"
    )


async def test_arrays_that_are_off() -> None:
    passed = await found(GOOD, JobArrays="off")
    assert passed == Passed("JobArrays is off: each pod is a job of its own; the site allows 1000 tasks (MaxArraySize)")


async def test_pods_on_the_node_itself() -> None:
    passed = await found(GOOD, JobArrays="auto", ContainerRuntime="none")
    assert passed.message.startswith("ContainerRuntime is none, and JobArrays is auto: each pod is a job of its own")
    assert (await found(GOOD, JobArrays="always", ContainerRuntime="none")).message.startswith("pods with identical")


async def test_nodes_without_a_shared_file_system() -> None:
    assert (await found(GOOD, JobArrays="auto", SHARED_FS=False)).message.startswith("SHARED_FS is false: each pod is")


@pytest.mark.parametrize("size", ["0", "1"])
async def test_a_site_that_has_no_arrays(size: str) -> None:
    passed = await found(size=size, JobArrays="auto")
    assert passed.message == f"each pod is a job of its own, since the site has no arrays (MaxArraySize is {size})"
    assert passed.remedy


async def test_a_site_that_refuses_arrays() -> None:
    passed = await found(FORBIDDEN, JobArrays="auto")
    assert "refuses an array: sbatch: error: job arrays are not allowed here" in passed.message
    assert passed.remedy


async def test_the_array_is_asked_for_with_the_options_of_pods() -> None:
    site = Answers(SlurmFailed("scontrol failed", command="scontrol"), [GOOD])
    passed = await check_arrays(config(JobArrays="auto"), site, "--account=a")
    assert "an unknown number of tasks" in passed.message
    assert site.asked[1].name == "try_submit"
