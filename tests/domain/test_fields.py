"""Every field of a pod is accounted for: carried out, approximated, refused, or ignored with a reason."""

from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import V1Container, V1PodSpec

from remote_slurm.domain.fields import CONTAINER, POD_SPEC, Field, How, refused, unheeded

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize(("table", "model"), [(POD_SPEC, V1PodSpec), (CONTAINER, V1Container)])
def test_the_tables_have_each_field_of_kubernetes_once(table: tuple[Field, ...], model: Any) -> None:
    assert sorted(field.name for field in table) == sorted(model.attribute_map.values())


@pytest.mark.parametrize("field", [*POD_SPEC, *CONTAINER], ids=lambda field: field.name)
def test_what_is_carried_out_names_a_test_that_exists(field: Field) -> None:
    if field.how is not How.CARRIED_OUT:
        assert field.note, "say why"
        return
    file, _, name = field.test.partition("::")
    found = list(TESTS.rglob(file))
    assert file
    assert found, f"there is no {file}"
    assert not name or f"def {name}(" in found[0].read_text()


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", **(container or {})}], "restartPolicy": "Never", **spec}}


def test_an_ordinary_pod_gives_no_warning() -> None:
    ordinary = pod(
        {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "securityContext": {}},
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
        tolerations=[{"operator": "Exists"}],
        serviceAccountName="default",
        priority=0,
        os={"name": "linux"},
    )
    assert unheeded(ordinary) == ()
    assert refused(ordinary) == ()


@pytest.mark.parametrize(
    ("a_pod", "words"),
    [
        (pod(hostPID=True), "the pod's hostPID has no effect"),
        (pod({"tty": True}), "tty of container 'c' has no effect"),
        (pod({"securityContext": {"privileged": True}}), "securityContext of container 'c' has no effect"),
        (pod(hostAliases=[{"ip": "127.0.0.1"}]), "the pod's hostAliases has no effect"),
        ({"spec": {"initContainers": [{"name": "i", "tty": True}]}}, "tty of container 'i'"),
    ],
)
def test_a_field_without_effect_is_named(a_pod: dict[str, Any], words: str) -> None:
    (sentence,) = unheeded(a_pod)
    assert sentence.startswith(words)


def test_what_a_pod_cannot_do_without_is_refused() -> None:
    (sentence,) = refused(pod({"volumeDevices": [{"name": "d", "devicePath": "/dev/x"}]}))
    assert sentence.startswith("volumeDevices of container 'c' cannot be carried out")


@pytest.mark.parametrize("shape", [None, [], {}, {"spec": None}, {"spec": {"containers": None}}, {"spec": []}])
def test_odd_shapes_are_somebody_elses_affair(shape: Any) -> None:
    assert unheeded(shape) == ()
