"""Rules of the site for what pods may ask: who breaks one is told its name, and nothing else changes."""

import re
from typing import Any

import pytest
from podspec import container, flag_lines, plan, pod

from remote_slurm.errors import Rejected


def refusal(body: dict[str, Any], **policy: Any) -> str:
    with pytest.raises(Rejected) as refused:
        plan(body, settings={"Policy": policy})
    return str(refused.value)


def with_flags(flags: str) -> dict[str, Any]:
    return pod(annotations={"slurm-job.vk.io/flags": flags})


@pytest.mark.parametrize("prefix", ["slurm-job.vk.io/", "slurm-job.knoc.io/"])
def test_annotations_that_are_not_allowed_are_refused_by_either_prefix(prefix: str) -> None:
    said = refusal(pod(annotations={f"{prefix}pre-exec": "id"}), AllowedAnnotations=["flags", "image-*"])
    assert f"annotation {prefix}pre-exec" in said
    assert "Policy.AllowedAnnotations allows flags, image-*" in said


def test_shell_of_the_mesh_counts_as_well() -> None:
    said = refusal(pod(annotations={"interlink.eu/wstunnel-client-commands": "id"}), AllowedAnnotations=[])
    assert "interlink.eu/wstunnel-client-commands, and Policy.AllowedAnnotations allows none" in said


def test_annotations_of_others_and_empty_ones_are_nobodys_business() -> None:
    annotations = {"example.org/pre-exec": "x", "interlink.eu/mesh-network": "x", "slurm-job.vk.io/pre-exec": " "}
    assert plan(pod(annotations=annotations), settings={"Policy": {"AllowedAnnotations": []}})


def test_allowed_annotations_have_their_effect() -> None:
    lines = flag_lines(with_flags("--qos=debug"), Policy={"AllowedAnnotations": ["fl*"]})
    assert "--qos=debug" in lines


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("busybox", ["docker://registry.example.org/*"]),
        ("/srv/images/../../home/me/own.sif", ["/srv/images/*"]),
        ("docker://registry.example.org.evil.example/x", ["docker://registry.example.org/*"]),
    ],
)
def test_images_that_are_not_allowed_are_refused(image: str, allowed: list[str]) -> None:
    said = refusal(pod(container(image=image)), AllowedImages=allowed)
    assert re.search(r"runs the image \S+, and Policy.AllowedImages allows", said)


def test_an_allowed_image_is_what_the_runtime_is_asked_for() -> None:
    settings = {"Policy": {"AllowedImages": ["/srv/images/*"]}, "ImagePrefix": "/srv/images/"}
    assert plan(pod(container(image="busybox")), settings=settings)


@pytest.mark.parametrize("flags", ["-w n1", "--nodelist=n1", "--nodelis n1"])
def test_forbidden_flags_are_refused_however_they_are_written(flags: str) -> None:
    assert "--nodelist, which Policy.ForbiddenFlags forbids" in refusal(with_flags(flags), ForbiddenFlags=["-w"])


def test_forced_flags_win_and_a_pod_that_wants_others_is_told() -> None:
    policy = {"ForcedFlags": ["--account=k8s", "-p guest"]}
    lines = flag_lines(with_flags("--account=k8s -t 5"), Policy=policy)
    assert {"--account=k8s", "--partition=guest", "--time=5"} <= set(lines)
    said = refusal(with_flags("-A other"), **policy)
    assert "sets --account=other, and Policy.ForcedFlags has --account=k8s" in said
