"""Environment variables are resolved as the Virtual Kubelet resolves them."""

from typing import Any

import pytest

from remote_slurm.cli.documents import Json
from remote_slurm.cli.environment import Sources, environment
from remote_slurm.domain.pod import environment as at_sidecar
from remote_slurm.domain.pod.model import Container, Pod
from remote_slurm.errors import InvalidRequest

POD = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x"}, "annotations": {"a/b": "y"}},
    "spec": {"serviceAccountName": "robot"},
}
SOURCES = Sources(
    "f.yaml",
    POD,
    ({"metadata": {"name": "m"}, "data": {"A": "a from m", "B": "b from m"}},),
    (
        {"metadata": {"name": "s"}, "data": {"B": "YiBmcm9tIHM="}},
        {"metadata": {"name": "binary"}, "data": {"K": "/w=="}},
    ),
)


def resolved(**container: Any) -> dict[str, str]:
    """The variables that the sidecar makes of the ones in the request."""
    sent = {"name": "c", "env": environment({"name": "c", **container}, SOURCES)}
    return at_sidecar.environment(Container.model_validate(sent), Pod.model_validate(POD))


def value_of(value_from: Json) -> str | None:
    return resolved(env=[{"name": "V", "valueFrom": value_from}]).get("V")


@pytest.mark.parametrize(
    ("value_from", "value"),
    [
        ({"fieldRef": {"fieldPath": "metadata.name"}}, "p"),
        ({"fieldRef": {"fieldPath": "metadata.namespace"}}, "n"),
        ({"fieldRef": {"fieldPath": "metadata.uid"}}, "u"),
        ({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "x"),
        ({"fieldRef": {"fieldPath": "metadata.annotations['a/b']"}}, "y"),
        ({"fieldRef": {"fieldPath": "metadata.labels['absent']"}}, ""),
        ({"fieldRef": {"fieldPath": "spec.serviceAccountName"}}, "robot"),
        ({"configMapKeyRef": {"name": "m", "key": "A"}}, "a from m"),
        ({"secretKeyRef": {"name": "s", "key": "B"}}, "b from s"),
        ({"configMapKeyRef": {"name": "m", "key": "Z", "optional": True}}, None),
        ({"secretKeyRef": {"name": "absent", "key": "Z", "optional": True}}, None),
    ],
)
def test_value_from(value_from: Json, value: str | None) -> None:
    assert value_of(value_from) == value


@pytest.mark.parametrize(
    ("value_from", "sentence"),
    [
        ({"fieldRef": {"fieldPath": "status.phase"}}, "invalid fieldPath 'status.phase'"),
        ({"configMapKeyRef": {"name": "m", "key": "Z"}}, "needs the key 'Z' of 'm'"),
        ({"secretKeyRef": {"name": "absent", "key": "Z"}}, "needs Secret 'absent', which f.yaml does not contain"),
        ({"secretKeyRef": {"name": "binary", "key": "K"}}, "invalid data of Secret 'binary': must be base64"),
        ({"fileKeyRef": {"key": "a"}}, "takes its value from fileKeyRef, which is not supported here"),
    ],
)
def test_a_value_that_is_not_to_be_had(value_from: Json, sentence: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        value_of(value_from)
    assert sentence in str(refused.value)


def test_env_from_in_order_and_env_last() -> None:
    assert resolved(
        envFrom=[
            {"configMapRef": {"name": "m"}},
            {"secretRef": {"name": "s"}},
            {"prefix": "P_", "secretRef": {"name": "s"}},
        ],
        env=[{"name": "A", "value": "own"}],
    ) == {"A": "own", "B": "b from s", "P_B": "b from s"}


def test_env_from_something_that_is_not_there() -> None:
    assert resolved(envFrom=[{"configMapRef": {"name": "absent", "optional": True}}]) == {}
    with pytest.raises(InvalidRequest, match="container 'c' needs ConfigMap 'absent'"):
        resolved(envFrom=[{"configMapRef": {"name": "absent"}}])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(A)/bin", "1/bin"),
        ("$$(A)", "$(A)"),
        ("$$$(A)/$$$$(A)/$$(NO)/$$", "$1/$$(A)/$(NO)/$"),
        ("$(LATER)", "$(LATER)"),
        ("$A ${A} `id` $", "$A ${A} `id` $"),
        ("", ""),
    ],
)
def test_references_to_variables_that_were_named_before(text: str, value: str | None) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "V", "value": text}, {"name": "LATER", "value": "2"}]
    assert resolved(env=env)["V"] == value


def test_what_only_the_sidecar_knows_is_filled_in_there() -> None:
    """Resources, addresses and the node; also in variables that refer to them, and not where `$$` says otherwise."""
    limits = {"limits": {"memory": "1Gi"}}
    env = [
        {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
        {"name": "ALL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}},
        {"name": "V", "value": "$(M)m $$(M) $(ALL)"},
        {"name": "W", "value": "$(V)!"},
    ]
    pod = {**POD, "spec": {"containers": [{"name": "c", "resources": limits}]}}
    sent = environment({"name": "c", "env": env}, Sources("f.yaml", pod, (), ()))
    container = Container.model_validate({"name": "c", "env": sent, "resources": limits})
    found = at_sidecar.environment(container, Pod.model_validate(pod))
    assert found["M"] == "1024"
    assert found["V"] == '1024m $(M) app="x"'
    assert found["W"] == f"{found['V']}!"


def test_a_reference_in_a_config_map_stays_as_it_is() -> None:
    maps = ({"metadata": {"name": "m"}, "data": {"A": "a", "B": "$(A) $$(A)"}},)
    sent = environment({"name": "c", "envFrom": [{"configMapRef": {"name": "m"}}]}, Sources("f.yaml", POD, maps, ()))
    container = Container.model_validate({"name": "c", "env": sent})
    assert at_sidecar.environment(container, Pod.model_validate(POD)) == {"A": "a", "B": "$(A) $$(A)"}
