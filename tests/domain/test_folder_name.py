"""The name of a pod's folder: one pair of namespace and UID has it, and no other."""

from typing import Any

import pytest

from remote_slurm.api.logs import parse_log_request
from remote_slurm.domain.pod.folder_name import split_key
from remote_slurm.domain.pod.model import CreateRequest, parse_pod, parse_pods
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import UID, pod

# each would have the folder of the pod `team-a/<UID>`, or of one of a namespace that begins alike
BORROWED = [
    ("team", f"a-{UID}"),
    ("team-a-6b1c2a0e", UID.removeprefix("6b1c2a0e-")),
    ("team", "a-1"),
    ("team-a-6b1c2a0e-53f4-4f5c-9d52", "0b8c8f2a7d10"),
    ("team", UID.upper()),
]


def named(namespace: str, uid: str) -> dict[str, Any]:
    body = pod()
    body["metadata"] |= {"namespace": namespace, "uid": uid}
    return body


@pytest.mark.parametrize(("namespace", "uid"), BORROWED)
def test_no_request_names_the_folder_of_another_namespaces_pod(namespace: str, uid: str) -> None:
    body = named(namespace, uid)
    asked = {"Namespace": namespace, "PodUID": uid, "ContainerName": "main", "Opts": {}}
    for parse in (
        lambda: parse_pod(body, "delete"),
        lambda: parse_pods([body]),
        lambda: CreateRequest.parse({"pod": body}),
        lambda: parse_log_request(asked),
    ):
        with pytest.raises(InvalidRequest, match="must be a UUID in lower case"):
            parse()


@pytest.mark.parametrize(("namespace", "uid"), [("default", UID), ("team-a", UID), ("team", "1"), ("team-a", "1")])
def test_a_folder_has_one_namespace_and_one_uid(namespace: str, uid: str) -> None:
    key = parse_pod(named(namespace, uid), "delete").key
    assert key == f"{namespace}-{uid}"
    assert split_key(key) == (namespace, uid)


def test_a_name_without_both_parts_is_no_pods() -> None:
    for name in ("team", "", "-", "-1", "team-", UID, f"-{UID}"):
        assert split_key(name) is None
