"""A configuration with which pods could only be refused is refused itself, at the start."""

from typing import Any

import pytest

from remote_slurm.domain.plan.semantic_checks import semantic_problems
from tests.domain.podspec import config

IDENTITIES = {"lab": {"Namespaces": ["lab"], "Partition": "two words"}}


def said(**keys: Any) -> list[str]:
    return [str(problem) for problem in semantic_problems(config(**keys))]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            {"ContainerRuntime": "docker"},
            "ContainerRuntime: must be one of singularity, apptainer, enroot, podman, podman-hpc, none, not 'docker'",
        ),
        ({"Policy": {"ForcedFlags": ["--array=1-3"]}}, "Policy.ForcedFlags: --array cannot be used here: one pod is"),
        ({"Policy": {"ForcedFlags": ["-p"]}}, "Policy.ForcedFlags: --partition needs a value"),
        ({"Policy": {"ForbiddenFlags": ["gpu"]}}, "Policy.ForbiddenFlags: --gpu may be --gpu-bind, "),
        ({"Policy": {"AllowedImages": ["*busybox*"]}}, "Policy.AllowedImages: no image can match '*busybox*': it must"),
        ({"Policy": {"AllowedFlags": ["-W"]}}, "Policy.AllowedFlags: --wait cannot be used here: sbatch would not"),
        ({"Flavors": {"big": {"SlurmFlags": ["--hold=1"]}}}, "Flavors.big.SlurmFlags: --hold takes no value"),
        (
            {"ResourceFlags": {"example.com/x": "--x {count} x"}},
            "ResourceFlags.example.com/x: 'x' is not an sbatch option",
        ),
        ({"Identities": IDENTITIES}, "Identities.lab: 'words' is not an sbatch option"),
        (
            {"Policies": {"a": {"Namespaces": ["a"], "ForcedFlags": ["-p"]}}},
            "Policies.a.ForcedFlags: --partition needs",
        ),
        (
            {"Policies": {"a": {"Namespaces": ["a"], "AllowedAnnotations": ["flag"]}}},
            "Policies.a.AllowedAnnotations: unknown annotation 'flag'",
        ),
        ({"Policy": {"AllowedAnnotations": ["preexec"]}}, "Policy.AllowedAnnotations: unknown annotation"),
    ],
)
def test_what_no_pod_could_ever_have(keys: dict[str, Any], sentence: str) -> None:
    (reported,) = said(**keys)
    assert reported.startswith(sentence)


def test_everything_is_said_at_once() -> None:
    policy = {"ForcedFlags": ["--wrap=x"], "AllowedAnnotations": ["flag", "flags", "image-*"]}
    assert [each.partition(":")[0] for each in said(Policy=policy)] == [
        "Policy.ForcedFlags",
        "Policy.AllowedAnnotations",
    ]
    assert said(Policy=policy)[1].endswith("unknown annotation 'flag': did you mean flags?")


def test_a_valid_configuration_has_no_problem() -> None:
    policy = {"ForcedFlags": ["--site-plugin=x", "-A k8s"], "ForbiddenFlags": ["-w"], "AllowedAnnotations": []}
    flavors = {"gpu": {"SlurmFlags": ["--gres=gpu:1 --time=20"]}}
    resources = {"example.com/a": "--gres=a:{count}", "example.com/b": "none", "example.com/c": "--mem={mib}"}
    assert said(Policy=policy, Flavors=flavors, ResourceFlags=resources) == []
