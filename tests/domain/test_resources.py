"""Quantities as Kubernetes writes them, counted for a pod as Kubernetes counts them, in whole numbers for Slurm."""

from decimal import Decimal
from typing import Any

import pytest

from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.pod.quantity import MIB, quantity, whole
from remote_slurm.domain.pod.resources import PodResources, pod_resources
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import container, pod


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2), (2, 2), (0.5, 1), ("0.5", 1), ("500m", 1), ("1500m", 2), ("1000m", 1), ("1m", 1), ("1n", 1),
        ("0", 0), ("100Mi", 100 * MIB), ("16G", 16 * 10**9), ("1Ki", 1024), ("1k", 1000), ("1Gi", 1024 * MIB),
        ("1.5Gi", 1536 * MIB), ("1e3", 1000), ("129e6", 129_000_000), ("2T", 2 * 10**12), ("1Pi", 2**50),
        ("123456789123456789", 123456789123456789),
    ],
)  # fmt: skip
def test_a_quantity_is_a_whole_number_rounded_up(text: str | float, number: int) -> None:
    assert whole(quantity(text, "memory")) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "1X",
        "0x10",
        "1e",
        "Mi",
        "1 Mi",
        "-1",
        "-500m",
        "NaN",
        "inf",
        "1e999999999",
        "9e99Ei",
        "$(id)",
        "1e-2147483647",
    ],
)
def test_what_is_no_quantity_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^invalid value '.*' of memory of container 'c': must be "):
        quantity(text, "memory of container 'c'")


def needs(*limits: dict[str, Any], init: tuple[dict[str, Any], ...] = ()) -> PodResources:
    """What a pod needs whose containers have these resource blocks."""
    containers = [container(f"c{number}", resources=each) for number, each in enumerate(limits)]
    initial = [container(f"i{number}", resources=each) for number, each in enumerate(init)]
    return pod_resources(parse_pod(pod(*containers, initContainers=initial), "test"))


def limits(**resources: Any) -> dict[str, Any]:
    return {"limits": resources}


def requests(**resources: Any) -> dict[str, Any]:
    return {"requests": resources}


CASES = [
    ("nothing is asked for", needs({}), PodResources(None, None)),
    ("nothing but nulls", needs({"limits": None, "requests": None}), PodResources(None, None)),
    ("containers are added up", needs(limits(cpu="1", memory="100Mi"), limits(cpu="2", memory="1Gi")),
     PodResources(3, 1124)),
    ("a fraction is added before it is rounded", needs(limits(cpu="500m"), limits(cpu="500m")), PodResources(1, None)),
    ("rounded up", needs(limits(cpu="1001m", memory="1")), PodResources(2, 1)),
    ("a limit wins over a request", needs({"limits": {"cpu": "4"}, "requests": {"cpu": "1", "memory": "1Mi"}}),
     PodResources(4, 1)),
    ("a request counts where there is no limit", needs(requests(cpu="3", memory="5Mi")), PodResources(3, 5)),
    ("a container that says nothing adds nothing", needs(limits(cpu="1"), {}), PodResources(1, None)),
    ("the largest init container, where it is larger",
     needs(limits(cpu="1", memory="1Mi"), init=(limits(cpu="8"), limits(memory="9Mi", cpu="2"))), PodResources(8, 9)),
    ("init containers are not added", needs(limits(cpu="3"), init=(limits(cpu="2"), limits(cpu="2"))),
     PodResources(3, None)),
    ("only an init container says something", needs({}, init=(limits(memory="7Mi"),)), PodResources(None, 7)),
    ("a limit of 0 is none", needs(limits(cpu="0", memory="0")), PodResources(None, None)),
    ("a request of 0 is none", needs(requests(cpu=0, memory="0Mi")), PodResources(None, None)),
    ("beside a limit of 0 the request counts", needs({"limits": {"memory": "0"}, "requests": {"memory": "5Mi"}}),
     PodResources(None, 5)),
    ("a limit of 0 adds nothing", needs(limits(memory="0"), limits(memory="5Mi")), PodResources(None, 5)),
    ("an init container without a limit", needs({}, init=(limits(memory="0", cpu="0"),)), PodResources(None, None)),
    ("a GPU", needs(limits(**{"nvidia.com/gpu": "1"})), PodResources(None, None, (("nvidia.com/gpu", Decimal(1)),))),
    ("GPUs of several containers", needs(limits(**{"amd.com/gpu": 2}), limits(**{"amd.com/gpu": "1"})),
     PodResources(None, None, (("amd.com/gpu", Decimal(3)),))),
    ("no GPU at all", needs(limits(**{"nvidia.com/gpu": "0"})), PodResources(None, None)),
    ("a node's disk, which is not a resource of every Slurm", needs(limits(**{"ephemeral-storage": "1Gi"})),
     PodResources(None, None, (("ephemeral-storage", Decimal(1 << 30)),))),
]  # fmt: skip


@pytest.mark.parametrize(("needed", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_a_pod_needs(needed: PodResources, expected: PodResources) -> None:
    assert needed == expected


@pytest.mark.parametrize("kind", ["limits", "requests"])
@pytest.mark.parametrize("name", ["hugepages-2Mi", "example.com/fpga", "intel.com/gpu", "cpus"])
def test_a_resource_without_a_counterpart_is_refused(kind: str, name: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"^unsupported resource '{name}' of container 'c0' of pod default/hello"):
        needs({kind: {name: "1"}})


def test_an_init_container_is_looked_at_too() -> None:
    with pytest.raises(InvalidRequest, match="container 'i0'"):
        needs({}, init=(limits(**{"example.com/fpga": 1}),))
    with pytest.raises(InvalidRequest, match="invalid value 'x' of cpu of container 'i0'"):
        needs({}, init=(limits(cpu="x"),))
