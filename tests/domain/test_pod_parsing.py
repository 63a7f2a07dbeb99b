"""A request's body is read once, leniently in form and strictly in what becomes part of a path."""

import json
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.domain.pod.model import CreateRequest, parse_pod, parse_pods
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import UID, container, pod

PAYLOADS = Path(__file__).parents[1] / "payloads"


def payload(name: str) -> Any:
    return json.loads((PAYLOADS / name).read_text())


def test_both_forms_of_create_mean_the_same() -> None:
    body = payload("create-hello.json")
    assert CreateRequest.parse(body) == CreateRequest.parse([body])


def test_interlinks_own_payloads_are_read() -> None:
    hello = CreateRequest.parse(payload("create-hello-0.4.json"))
    assert hello.pod.key == f"default-{UID}"
    assert hello.pod.full_name == "default/hello"
    volumes = CreateRequest.parse(payload("create-volumes.json"))
    assert [each.name for each in volumes.pod.spec.init_containers] == ["prepare"]
    assert [each.name for each in volumes.pod.spec.containers] == ["main", "sidecar"]
    assert volumes.container[0].config_maps[0].metadata.name == "app-config"


def test_null_is_absent_wherever_go_may_write_it() -> None:
    nothing = dict.fromkeys(
        ("command", "args", "workingDir", "env", "resources", "volumeMounts", "restartPolicy", "image")
    )
    body = {
        "pod": {
            "metadata": {"name": "p", "namespace": None, "uid": UID, "annotations": None, "labels": None},
            "spec": {
                "containers": [{"name": "c", **nothing}],
                "initContainers": None,
                "volumes": None,
                "restartPolicy": None,
                "terminationGracePeriodSeconds": None,
            },
        },
        "container": [{"name": "c", "configMaps": None, "projectedvolumemaps": None, "secrets": None}],
        "jobConfig": None,
        "jobScript": None,
    }
    request = CreateRequest.parse(body)
    assert request.pod.metadata.namespace == "default"
    assert request.pod.spec.containers[0].command == ()
    assert request.pod.spec.volumes == ()
    assert request.pod.spec.termination_grace_period_seconds == 30
    assert request.container[0].secrets == ()
    assert CreateRequest.parse({"pod": pod(), "container": None}).container == ()


@pytest.mark.parametrize(
    ("created", "deleted", "seconds"),
    [(None, None, 30), (7, None, 7), (7, 60, 60), (7, 0, 0), (-5, None, 1), (7, -5, 1)],
)
def test_the_grace_period_is_the_deletes_where_it_has_one(
    created: int | None, deleted: int | None, seconds: int
) -> None:
    """`kubectl delete --grace-period` is a field of the deleted pod; what is negative counts as 1 in Kubernetes."""
    body = pod(terminationGracePeriodSeconds=created)
    body["metadata"]["deletionGracePeriodSeconds"] = deleted
    assert parse_pod(body, "delete").grace_period_seconds == seconds


@pytest.mark.parametrize("uid", [UID, "a", "A.b9", "x" * 128])
def test_names_that_may_be_a_part_of_a_path(uid: str) -> None:
    body = pod()
    body["metadata"]["uid"] = uid
    assert parse_pod(body, "status").key == f"default-{uid}"


HOSTILE_NAMES = [
    "../../etc", "..", ".", "a/b", "/etc", "a..b", "", "-a", "a-", ".a", "a.", "a b", "a\n", "\na", "a\0", "a;b",
    "$(id)", "`id`", "a'b", 'a"b', "a\\b", "ä", "x" * 254, "a|b", "*", "~", 5, True, ["a"], {"a": "b"},
]  # fmt: skip


@pytest.mark.parametrize("where", ["uid", "name", "namespace", "container", "init container", "volume"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_may_not(where: str, name: object) -> None:
    body = pod(initContainers=[container("init")], volumes=[{"name": "v", "emptyDir": {}}])
    named = {
        "uid": (body["metadata"], "uid"),
        "name": (body["metadata"], "name"),
        "namespace": (body["metadata"], "namespace"),
        "container": (body["spec"]["containers"][0], "name"),
        "init container": (body["spec"]["initContainers"][0], "name"),
        "volume": (body["spec"]["volumes"][0], "name"),
    }
    place, key = named[where]
    place[key] = name
    with pytest.raises(InvalidRequest, match="must be letters, digits"):
        parse_pod(body, "status")


WRONG_BODIES = {
    "not an object": "hello",
    "a number": 5,
    "nothing": None,
    "no pod": {},
    "an empty list": [],
    "two pods": [{"pod": pod()}, {"pod": pod()}],
    "a list of lists": [[{"pod": pod()}]],
    "no metadata": {"pod": {"spec": {}}},
    "no uid": {"pod": {"metadata": {"name": "p"}, "spec": {"containers": [container()]}}},
    "no containers": {"pod": {"metadata": {"name": "p", "uid": UID}, "spec": {}}},
    "null containers": {"pod": {"metadata": {"name": "p", "uid": UID}, "spec": {"containers": None}}},
    "containers that are no list": {"pod": {"metadata": {"name": "p", "uid": UID}, "spec": {"containers": {}}}},
    "a command that is one text": {"pod": pod({"name": "c", "command": "rm -rf /"})},
}


@pytest.mark.parametrize("body", WRONG_BODIES.values(), ids=WRONG_BODIES)
def test_a_wrong_body_is_refused_in_a_sentence(body: object) -> None:
    with pytest.raises(
        InvalidRequest, match=r"^(the body of create cannot be read: |invalid body of create|pod default/p has)"
    ):
        CreateRequest.parse(body)


def test_the_sentence_names_the_field_and_keeps_the_value_to_itself() -> None:
    body = pod(container(env=[{"name": "TOKEN", "value": {"secret": "s3cr3t"}}]))
    with pytest.raises(InvalidRequest) as caught:
        CreateRequest.parse({"pod": body})
    assert str(caught.value) == (
        "the body of create cannot be read: pod.spec.containers.0.env.0.value must be a string, not an object"
    )
    assert caught.value.__cause__ is None, "a traceback in the log would show the value"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"env": [{"name": "A", "value": 8080}]}, r"env\.0\.value must be a string, not a number: put it in quotation"),
        (
            {"env": [{"name": "A", "value": True}]},
            r"env\.0\.value must be a string, not a boolean: put it in quotation",
        ),
        ({"command": "sleep 3"}, r"command must be a list, not a string$"),
        ({"securityContext": ["x"]}, r"securityContext must be an object, not a list$"),
        (
            {"name": ""},
            r"name must be letters, digits, '-' and '\.', and start and end with a letter or digit, not ''$",
        ),
    ],
)
def test_the_sentence_names_the_type_that_a_value_has(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        parse_pod(pod(container() | fields), "create")


def test_the_sentence_says_how_much_more_is_wrong() -> None:
    body = pod(container(env=[{"name": 1}, {"name": 2}]))
    with pytest.raises(InvalidRequest, match=r"and 1 more"):
        parse_pod(body, "delete")


def pod_with(field: str, value: object) -> dict[str, Any]:
    """A pod with `value` in each place where Kubernetes has a field of this kind."""
    source = {"name": "v", "configMap": {"name": "c", field: value, "items": [{"key": "k", "path": "k", field: value}]}}
    probe = {"tcpSocket": {"port": 80}, field: value}
    main = container(
        securityContext={field: value},
        ports=[{field: value}] if field == "containerPort" else [],
        resources={"limits": {field: value}},
        volumeMounts=[{"name": "v", "mountPath": "/v", field: value}],
        livenessProbe=probe,
        restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [value]}}]
        if field == "values"
        else [],
    )
    spec = {"volumes": [source], "securityContext": {field: value}, field: value}
    if field not in ("cpu", "memory"):
        main["resources"] = {}
    return pod(main, **spec)


WHOLE, QUANTITY, LOGICAL = (
    "must be a whole number",
    "must be a quantity such as 2, 500m or 100Mi",
    "must be true or false",
)


@pytest.mark.parametrize(("field", "value", "words"), [
    ("cpu", True, QUANTITY),
    ("memory", [], QUANTITY),
    ("runAsUser", True, WHOLE),
    ("runAsGroup", "1000", WHOLE),
    ("fsGroup", 1000.0, WHOLE),
    ("runAsUser", -1, "must be at least 0"),
    ("fsGroup", 10**30, "must be at most 2147483647"),
    ("defaultMode", -1, "must be at least 0"),
    ("mode", -1, "must be at least 0"),
    ("mode", 0o1777, "must be at most 511"),
    ("mode", "0644", WHOLE),
    ("optional", 1, LOGICAL),
    ("readOnly", "yes", LOGICAL),
    ("containerPort", 0, "must be at least 1"),
    ("containerPort", True, WHOLE),
    ("values", 256, "must be at most 255"),
    ("periodSeconds", True, WHOLE),
    ("periodSeconds", 1.0, WHOLE),
    ("activeDeadlineSeconds", True, WHOLE),
    ("terminationGracePeriodSeconds", False, WHOLE),
])  # fmt: skip
def test_numbers_and_booleans_are_what_kubernetes_takes_for_them(field: str, value: object, words: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"\.{field}(\.0)? {words}( \(and|$)"):
        CreateRequest.parse({"pod": pod_with(field, value)})


@pytest.mark.parametrize(("body", "pods"), [(None, 0), ([], 0), ([pod()], 1), ([pod(), pod()], 2)])
def test_status_takes_a_list(body: object, pods: int) -> None:
    assert len(parse_pods(body)) == pods


@pytest.mark.parametrize("body", [{}, pod(), "x", 5])
def test_status_takes_nothing_else(body: object) -> None:
    with pytest.raises(InvalidRequest, match="invalid body of status"):
        parse_pods(body)


def test_data_of_secrets_and_config_maps_does_not_show_in_a_repr() -> None:
    data = {"configMaps": [{"data": {"k": "s3cr3t"}, "binaryData": {"b": "czNjcjN0"}}]}
    secrets = {"secrets": [{"data": {"k": "czNjcjN0"}, "stringData": {"s": "s3cr3t"}}]}
    request = CreateRequest.parse({"pod": pod(), "container": [{"name": "main", **data, **secrets}]})
    assert "s3cr3t" not in repr(request)
    assert "czNjcjN0" not in repr(request)
