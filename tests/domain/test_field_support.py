"""Every field of a pod is accounted for: carried out, approximated, refused, or ignored with a reason."""

import re
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import V1Container, V1PodSpec

from remote_slurm.domain.plan.annotations import WRITTEN_BY_VIRTUAL_KUBELET
from remote_slurm.domain.pod.field_support import CONTAINER, POD_SPEC, Field, How, ignored_fields, refused
from remote_slurm.domain.pod.model import Volume
from remote_slurm.domain.runtimes.registry import RUNTIMES

TESTS = Path(__file__).parents[1]
DOCUMENT = TESTS.parent / "docs" / "pod-fields.md"


@pytest.mark.parametrize(("table", "model"), [(POD_SPEC, V1PodSpec), (CONTAINER, V1Container)])
def test_the_tables_have_each_field_of_kubernetes_once(table: tuple[Field, ...], model: Any) -> None:
    assert sorted(field.name for field in table) == sorted(model.attribute_map.values())


@pytest.mark.parametrize("field", [*POD_SPEC, *CONTAINER], ids=lambda field: field.name)
def test_what_is_carried_out_names_a_test_that_exists(field: Field) -> None:
    assert field.note, "say how, or why not"
    if field.how is How.SUPPORTED or field.test:
        assert names_a_test(field.test)


def names_a_test(text: str) -> bool:
    """Whether it is `file::test`, of one file only."""
    file, _, name = text.partition("::")
    found = list(TESTS.rglob(file)) if file else []
    return len(found) == 1 and bool(
        re.search(rf"^(async )?def {re.escape(name)}\(", found[0].read_text(), re.MULTILINE)
    )


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert not names_a_test("")
    assert not names_a_test("integration/test_volumes.py")
    assert not names_a_test("integration/test_volumes.py::test_no_such")
    assert not names_a_test("test_annotations.py::test_none_is_nothing"), "there are several of that name"


VOLUMES = DOCUMENT.read_text().partition("## Volumes")[2].partition("##")[0]
ANNOTATIONS = DOCUMENT.read_text().partition("## Annotations")[2].partition("##")[0]


@pytest.mark.parametrize("test", re.findall(r"`(\S+::\S+)`", VOLUMES + ANNOTATIONS))
def test_the_other_tables_name_tests_that_exist(test: str) -> None:
    assert names_a_test(test)


def test_they_have_a_row_for_each_kind_of_volume_and_each_annotation() -> None:
    kinds = [name for name, field in Volume.model_fields.items() if name not in ("name", "kind")]
    assert sorted(re.findall(r"^\| `(\w+)`", VOLUMES, re.MULTILINE)) == sorted(
        Volume.model_fields[kind].alias or kind for kind in kinds
    )
    assert set(re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| [^|]*", ANNOTATIONS, re.MULTILINE)))) >= (
        RUNTIMES.annotations.known | WRITTEN_BY_VIRTUAL_KUBELET
    )


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c", **(container or {})}], "restartPolicy": "Never", **spec}}


def test_an_ordinary_pod_gives_no_warning() -> None:
    ordinary = pod(
        {
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "securityContext": {"runAsUser": 1000, "allowPrivilegeEscalation": False},
        },
        dnsPolicy="ClusterFirst",
        securityContext={"runAsNonRoot": True},
        schedulerName="default-scheduler",
        tolerations=[{"operator": "Exists"}],
        serviceAccountName="default",
        priority=0,
        os={"name": "linux"},
    )
    assert ignored_fields(ordinary) == ()
    assert refused(ordinary) == ()


@pytest.mark.parametrize(
    ("a_pod", "words"),
    [
        (pod(hostPID=True), "the pod's hostPID has no effect"),
        (pod({"tty": True}), "tty of container 'c' has no effect"),
        (pod({"securityContext": {"privileged": True}}), "securityContext.privileged of container 'c' has no effect"),
        (pod(setHostnameAsFQDN=True), "the pod's setHostnameAsFQDN has no effect"),
        ({"spec": {"initContainers": [{"name": "i", "tty": True}]}}, "tty of container 'i'"),
    ],
)
def test_a_field_without_effect_is_named(a_pod: dict[str, Any], words: str) -> None:
    (sentence,) = ignored_fields(a_pod)
    assert sentence.startswith(words)


def test_what_a_pod_cannot_do_without_is_refused() -> None:
    (sentence,) = refused(pod({"volumeDevices": [{"name": "d", "devicePath": "/dev/x"}]}))
    assert sentence.startswith("volumeDevices of container 'c' is not supported")


@pytest.mark.parametrize("shape", [None, [], {}, {"spec": None}, {"spec": {"containers": None}}, {"spec": []}])
def test_fields_of_odd_shapes_are_ignored(shape: Any) -> None:
    assert ignored_fields(shape) == ()


@pytest.mark.parametrize("kind", ["initContainers", "containers"])
def test_a_container_that_reads_its_standard_input_is_refused(kind: str) -> None:
    spec = {"containers": [{"name": "c"}]} | {kind: [{"name": "c", "stdin": True, "tty": True}]}
    (sentence,) = refused({"spec": spec})
    assert sentence.startswith("stdin of container 'c' is not supported: no client can attach to a batch job")
    assert refused({"spec": {"containers": [{"name": "c", "stdin": False, "stdinOnce": True}]}}) == ()
