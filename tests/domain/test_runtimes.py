"""Which program a runtime is, and that one class and its part of the shell are all that a further runtime takes."""

from typing import Any

import pytest

from remote_slurm.config import Config
from remote_slurm.domain.plan.job_plan import JobPlan, plan_job
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.plan.semantic_checks import semantic_problems
from remote_slurm.domain.runtimes.registry import RUNTIMES
from tests.domain.podspec import ALL_ANNOTATIONS, config, container, pod, request
from tests.toy_runtime import SCRIPTS_WITH_TOY, WITH_TOY


def toy_config(**keys: Any) -> Config:
    return config(ContainerRuntime="toy", RuntimePrefix="nice -n 5", Policy=ALL_ANNOTATIONS, **keys)


def planned(body: dict[str, Any], **keys: Any) -> JobPlan:
    return plan_job(request(body), toy_config(**keys), WITH_TOY)


def test_one_class_is_all_that_a_further_runtime_takes() -> None:
    annotations = {"slurm-job.vk.io/toy-mounts": "/data", "slurm-job.vk.io/toy-options": "--fast"}
    plan = planned(pod(container("main", "serve"), annotations=annotations), RuntimeDefaultOptions=["--quiet"])
    (main,) = plan.containers
    image = next(each for each in plan.files if each.path == "images").content or b""
    assert main.lines == (
        ("nice", "-n", "5", "toy", "run", "--quiet"),
        ("--fast",),
        ("--env=secret/env-main",),
        ("--mount", "/data=/data"),
        ("--mount", "hosts=/etc/hosts"),
        (next(line[0] for line in main.lines if str(line[0]).startswith("image/")),),
        ("serve",),
    )
    assert plan.calls.index(("use_toy",)) < plan.calls.index(("toy_storage",))
    assert b".toy Always docker://busybox nice -n 5 toy pull @ docker://busybox" in image


def test_a_job_is_sent_its_part() -> None:
    runner = payload(planned(pod(container())), SCRIPTS_WITH_TOY).scripts["runner.sh"]
    assert SCRIPTS_WITH_TOY["toy.sh"] in runner
    assert not any(SCRIPTS_WITH_TOY[f"{other}.sh"] in runner for other in ("apptainer", "podman", "enroot"))


def test_its_name_and_its_annotations_are_known_once_it_is_registered() -> None:
    assert semantic_problems(toy_config(), WITH_TOY) == []
    (unknown,) = semantic_problems(toy_config())
    assert str(unknown).endswith("podman, podman-hpc, none, not 'toy'")
    assert {"toy-mounts", "toy-options"} <= WITH_TOY.annotations.known
    assert "toy-options" in WITH_TOY.annotations.trusted


@pytest.mark.parametrize(
    ("keys", "path", "key"),
    [
        ({"ContainerRuntime": "singularity"}, "singularity", "SingularityPath"),
        ({"ContainerRuntime": "apptainer"}, "apptainer", "SingularityPath"),
        (
            {"ContainerRuntime": "apptainer", "SingularityPath": "/opt/singularity"},
            "/opt/singularity",
            "SingularityPath",
        ),
        ({"ContainerRuntime": "enroot"}, "enroot", "EnrootPath"),
        ({"ContainerRuntime": "podman"}, "podman", "PodmanPath"),
        ({"ContainerRuntime": "podman-hpc"}, "podman-hpc", "PodmanPath"),
        ({"ContainerRuntime": "podman", "PodmanPath": "/a", "RuntimePath": "/b"}, "/b", "RuntimePath"),
        ({"ContainerRuntime": "none"}, "", "RuntimePath"),
    ],
)
def test_the_program_is_a_key_of_the_runtime_or_its_name(keys: dict[str, Any], path: str, key: str) -> None:
    found = RUNTIMES.configure(config(**keys)).config
    assert (found.path, found.path_key) == (path, key)


@pytest.mark.parametrize("name", RUNTIMES.names)
def test_general_keys_override_those_of_a_runtime(name: str) -> None:
    own = {"SingularityPrefix": "own", "PodmanPrefix": "own", "EnrootPrefix": "own"}
    found = RUNTIMES.configure(config(ContainerRuntime=name, RuntimePrefix="a b", RuntimeDefaultOptions=["-x"], **own))
    assert (found.config.prefix, found.config.default_options) == (("a", "b"), ("-x",))
