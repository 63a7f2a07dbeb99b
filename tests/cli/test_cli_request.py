"""The request that `run` builds is the one that interLink sends."""

import copy
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from remote_slurm.cli.documents import Documents, Json, read_documents
from remote_slurm.cli.request import create_request, parsed
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.errors import InvalidRequest
from tests.pods import payload


def written(folder: Path, *documents: Any) -> Documents:
    path = folder / "pod.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return read_documents(path)


def test_the_same_as_interlink_sends(tmp_path: Path) -> None:
    """From the documents that its payload was made of, but for the service account, which there is none of here."""
    sent = payload("create-volumes.json")
    (config_map,) = sent["container"][0]["configMaps"]
    (secret,) = sent["container"][1]["secrets"]
    documents = written(
        tmp_path, sent["pod"] | {"kind": "Pod"}, config_map | {"kind": "ConfigMap"}, secret | {"kind": "Secret"},
        {"kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "CA", "other": "-"}},
    )  # fmt: skip

    built = create_request(documents)

    assert _with_env(built["pod"]) == _with_env(sent["pod"])
    for mine, theirs in zip(built["container"], sent["container"], strict=True):
        assert {**mine, "projectedvolumemaps": None} == {**theirs, "projectedvolumemaps": None}
    (projected,) = built["container"][1]["projectedvolumemaps"]
    assert projected["metadata"]["name"] == sent["container"][1]["projectedvolumemaps"][0]["metadata"]["name"]
    assert projected["data"] == {"ca.crt": "CA", "namespace": "team-a"}
    assert CreateRequest.parse(built).pod == CreateRequest.parse(sent).pod


def _with_env(pod: Any) -> Json:
    pod = copy.deepcopy(pod)
    for each in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        each.setdefault("env", [])
    return pod


def test_a_pod_gets_a_namespace_and_a_uid_of_its_own(tmp_path: Path) -> None:
    documents = written(tmp_path, {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}})
    first, second = (create_request(documents)["pod"]["metadata"] for _ in range(2))
    assert first["namespace"] == "default"
    assert uuid.UUID(first["uid"]) != uuid.UUID(second["uid"])


def test_what_is_given_stays(tmp_path: Path) -> None:
    metadata = {"name": "a", "namespace": "n", "uid": "u-1", "labels": None}
    documents = written(tmp_path, {"kind": "Pod", "metadata": metadata})
    assert create_request(documents)["pod"]["metadata"] == {"name": "a", "namespace": "n", "uid": "u-1"}


def test_generate_name(tmp_path: Path) -> None:
    documents = written(tmp_path, {"kind": "Pod", "metadata": {"generateName": "job-"}})
    assert create_request(documents)["pod"]["metadata"]["name"].startswith("job-")


def _pod_with(volume: Json) -> Json:
    mount = {"name": volume["name"], "mountPath": "/v"}
    containers = [{"name": "c", "volumeMounts": [mount]}, {"name": "without"}]
    return {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": containers, "volumes": [volume]}}


@pytest.mark.parametrize(
    ("volume", "missing"),
    [
        ({"name": "v", "configMap": {"name": "m"}}, "ConfigMap 'm'"),
        ({"name": "v", "secret": {"secretName": "s"}}, "Secret 's'"),
        ({"name": "v", "projected": {"sources": [{"configMap": {"name": "p"}}]}}, "ConfigMap 'p'"),
    ],
)
def test_what_a_volume_needs_must_be_in_the_file(tmp_path: Path, volume: Json, missing: str) -> None:
    with pytest.raises(InvalidRequest, match=f"volume 'v' needs {missing}, which .*pod.yaml does not contain"):
        create_request(written(tmp_path, _pod_with(volume)))


def test_what_is_optional_may_be_missing(tmp_path: Path) -> None:
    (first, _) = create_request(
        written(tmp_path, _pod_with({"name": "v", "configMap": {"name": "m", "optional": True}}))
    )["container"]
    assert first["configMaps"] is None


def test_another_namespace_is_another_config_map(tmp_path: Path) -> None:
    foreign = {"kind": "ConfigMap", "metadata": {"name": "m", "namespace": "elsewhere"}}
    with pytest.raises(InvalidRequest, match="needs ConfigMap 'm'"):
        create_request(written(tmp_path, _pod_with({"name": "v", "configMap": {"name": "m"}}), foreign))


def test_a_container_gets_only_what_it_mounts(tmp_path: Path) -> None:
    config_map = {"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "v"}}
    mounting, without = create_request(
        written(tmp_path, _pod_with({"name": "v", "configMap": {"name": "m"}}), config_map)
    )["container"]
    assert [each["data"] for each in mounting["configMaps"]] == [{"k": "v"}]
    assert without["configMaps"] is None


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        ({}, "f.yaml: pod.metadata.name"),
        ({"metadata": []}, "f.yaml: pod.metadata.name"),
        ({"metadata": {"name": "a"}}, "f.yaml: pod default/a has no containers"),
        ({"metadata": {"name": "a"}, "spec": "x"}, "f.yaml: pod.spec"),
        ({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": 5}]}]}},
         "f.yaml: pod.spec.containers"),
        ({"metadata": {"name": "../x"}}, "f.yaml: pod.metadata.name"),
    ],
)  # fmt: skip
def test_a_pod_that_is_none_is_refused_in_a_sentence_about_the_file(pod: Any, sentence: str) -> None:
    documents = Documents("f.yaml", pod)
    with pytest.raises(InvalidRequest) as refused:
        parsed(create_request(documents), documents.source)
    assert str(refused.value).startswith(sentence)
