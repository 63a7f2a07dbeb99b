"""Which flavor a pod gets, and what comes of it beside its own words."""

from typing import Any

import pytest

from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import container, flag_lines, plan, pod

FLAVOR = "slurm-job.vk.io/flavor"
FLAGS = "slurm-job.vk.io/flags"
FLAVORS: dict[str, Any] = {
    "cpu": {"CPUDefault": 4, "MemoryDefault": "16G", "SlurmFlags": ["--partition=cpu"]},
    "gpu": {"CPUDefault": 8, "MemoryDefault": "32G", "SlurmFlags": ["--partition=gpu", "--gres=gpu:1"]},
    "gpus": {"SlurmFlags": ["--partition=gpu", "--gres=gpu:a100:4"]},
}


def lines(body: dict[str, Any], default: str = "cpu") -> set[str]:
    return set(flag_lines(body, Flavors=FLAVORS, DefaultFlavor=default))


def asking(**limits: str) -> dict[str, Any]:
    return container(
        resources={"limits": {name.replace("gpu", "nvidia.com/gpu"): text for name, text in limits.items()}}
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (pod(), {"--cpus-per-task=4", "--mem=16384M", "--partition=cpu"}),
        (pod(annotations={FLAVOR: "gpu"}), {"--cpus-per-task=8", "--mem=32768M", "--partition=gpu", "--gres=gpu:1"}),
        (pod(asking(gpu="1")), {"--partition=gpu", "--gres=gpu:1", "--cpus-per-task=8"}),
        (pod(asking(gpu="4")), {"--partition=gpu", "--gres=gpu:a100:4", "--cpus-per-task=1"}),
        # no flavor has as many: the first one for GPUs, with the pod's number
        (pod(asking(gpu="2")), {"--partition=gpu", "--gres=gpu:2"}),
        # the pod's annotation goes before its GPUs
        (pod(asking(gpu="1"), annotations={FLAVOR: "cpu"}), {"--partition=cpu", "--gres=gpu:1"}),
        # flavor < flags < resources
        (pod(annotations={FLAGS: "-p other --mem=1G"}), {"--partition=other", "--mem=1G", "--cpus-per-task=4"}),
        (pod(asking(cpu="2", memory="3Gi"), annotations={FLAGS: "-c 7"}), {"--cpus-per-task=2", "--mem=3072M"}),
    ],
)
def test_which_one_and_what_comes_of_it(body: dict[str, Any], expected: set[str]) -> None:
    assert expected <= lines(body)


def test_without_a_default_a_pod_gets_none() -> None:
    assert not any("partition" in line for line in lines(pod(), default=""))


def test_a_name_that_no_flavor_has_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InvalidRequest, match=r"invalid flavor 'gqu' of .* did you mean 'gpu'"):
        lines(pod(annotations={FLAVOR: "gqu"}))
    with pytest.raises(InvalidRequest, match="Flavors in the sidecar's configuration is empty"):
        plan(pod(annotations={FLAVOR: "gpu"}))


@pytest.mark.parametrize(
    ("seconds", "grace", "flags", "time"),
    [
        (1, 30, "", "1"),
        (60, 30, "", "1"),
        (61, 30, "", "2"),
        (60, 31, "", "2"),  # longer than Slurm waits before it kills
        (61, 120, "", "4"),
        (3600, 60, "-t 30", "30"),
        (3600, 60, "-t 60", "60"),
        (3600, 60, "-t 62", "62"),
        (3600, 60, "-t 63", "62"),
        (3600, 60, "-t 2:00:00", "62"),
        (3600, 30, "-t 1-0", "60"),
        (3600, 30, "-t 0", "60"),
    ],
)
def test_a_deadline_is_the_time_limit_unless_the_flags_have_a_shorter_one(
    seconds: int, grace: int, flags: str, time: str
) -> None:
    body = pod(activeDeadlineSeconds=seconds, terminationGracePeriodSeconds=grace, annotations={FLAGS: flags})
    assert [line for line in flag_lines(body) if line.startswith("--time")] == [f"--time={time}"]


@pytest.mark.parametrize(("grace", "time"), [(0, "2"), (30, "2"), (46, "3")])
def test_a_pre_stop_has_its_grace_period_after_the_deadline(grace: int, time: str) -> None:
    hooked = container(lifecycle={"preStop": {"exec": {"command": ["true"]}}})
    body = pod(hooked, activeDeadlineSeconds=60, terminationGracePeriodSeconds=grace)
    assert f"--time={time}" in flag_lines(body)
