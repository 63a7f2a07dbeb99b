"""The corners of the wire: what else may be asked, and how it is answered."""

import json
from typing import Any

import pytest

from tests.pods import Json, key, payload, pod, request, sh
from tests.serving import Serving, wait_until
from tests.shared_folder import go_on, held
from tests.sidecar import log_request
from tests.vk import assert_sentence


def changed(body: Any, path: str, value: Any) -> Any:
    """`body` with another value at `path`, such as pod.metadata.uid or pod.spec.containers.0.name."""
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place = body
    for part in parents:
        place = place[part]
    place[last] = value
    return body


NULLS = ("initContainers", "volumes", "nodeSelector", "imagePullSecrets", "tolerations")
CONTAINER_NULLS = ("args", "env", "envFrom", "volumeMounts", "ports", "resources", "workingDir", "livenessProbe")


def test_null_is_absent(served: Serving) -> None:
    body = request(pod(sh("c", "echo ok")))
    body["pod"]["metadata"] |= {"labels": None, "annotations": None, "ownerReferences": None}
    body["pod"]["spec"] |= dict.fromkeys(NULLS)
    body["pod"]["spec"]["containers"][0] |= {"command": ["/bin/sh", "-c", "echo ok"]} | dict.fromkeys(CONTAINER_NULLS)
    body |= {"jobConfig": None, "jobScript": None}
    nothing = served.vk.create(body)
    assert served.client.status(nothing.pod | {"status": None}).status == 200
    nothing.until_true(lambda: nothing.status is not None, "there is a status")
    nothing.delete()


def test_a_pod_that_was_not_created_is_left_out_of_the_answer(served: Serving) -> None:
    unknown, known = pod(sh("c", "true")), served.vk.create(request(pod(sh("c", "true")))).until_over()
    assert served.client.status(unknown).json == []
    assert [each["UID"] for each in served.client.status(unknown, known.pod).json] == [known.pod["metadata"]["uid"]]
    created = served.vk.create(request(unknown)).until_over()
    assert created.phase == "Succeeded"


def test_many_pods_in_one_question_as_interlink_0_4_asks(served: Serving) -> None:
    pods = [served.vk.create(request(pod(sh("c", f"exit {code}")))) for code in range(4)]
    for each in pods:
        each.until_over()
    answers = served.client.status(*(each.pod for each in reversed(pods))).json
    codes = {each["UID"]: each["containers"][0]["state"]["terminated"]["exitCode"] for each in answers}
    assert [codes[each.pod["metadata"]["uid"]] for each in pods] == [0, 1, 2, 3]


ENDPOINTS = [("POST", "/create"), ("GET", "/status"), ("POST", "/delete"), ("DELETE", "/delete"), ("GET", "/getLogs")]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"not JSON", b"\xff\xfe", b'{"pod": \x00}', b'"\\ud800"', b"[" * 100_000, b"NaN, 1", b"[1, 2"],
)
def test_what_is_not_json_is_refused_with_a_sentence(served24: Serving, method: str, path: str, body: bytes) -> None:
    answer = served24.client.ask(method, path, body)
    assert_sentence(answer)
    assert answer.status == 400


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize(
    "body", [1, "text", True, {}, {"pod": None}, {"pod": []}, [None], [1], [[]], {"metadata": None}, {"PodUID": {}}]
)
def test_json_of_another_shape_is_refused_with_a_sentence(served24: Serving, method: str, path: str, body: Any) -> None:
    answer = served24.client.ask(method, path, body)
    assert_sentence(answer)
    assert answer.status == 400


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pod.spec", None),
        ("pod.spec", []),
        ("pod.spec.containers", []),
        ("pod.spec.containers", None),
        ("pod.spec.containers", {}),
        ("pod.spec.containers.0", None),
        ("pod.spec.containers.0.name", ""),
        ("pod.spec.containers.0.command", "echo"),
        ("pod.spec.containers.0.command", [1]),
        ("pod.spec.containers.0.args", {"a": 1}),
        ("pod.spec.containers.0.args", ["nul\0"]),
        ("pod.spec.containers.0.env", [{"value": "nameless"}]),
        ("pod.spec.containers.0.env", [{"name": "NUL", "value": "a\0b"}]),
        ("pod.spec.containers.0.resources.limits.cpu", "many"),
        ("pod.spec.containers.0.resources.limits.memory", "-1"),
        ("pod.spec.containers.0.volumeMounts", [{"name": "absent", "mountPath": "/x"}]),
        ("pod.spec.volumes", [{}]),
        ("pod.spec.terminationGracePeriodSeconds", "soon"),
        ("pod.metadata.annotations", [1]),
        ("container", {"a": 1}),
        ("container.0.configMaps", [{"data": {"k": 1}}]),
        ("pod.metadata.uid", None),
        ("pod.metadata.uid", ""),
        ("pod.metadata.uid", 7),
        ("pod.metadata.uid", "../../etc"),
        ("pod.metadata.uid", "a/b"),
        ("pod.metadata.uid", ".."),
        ("pod.metadata.uid", "$(id)"),
        ("pod.metadata.uid", "a b"),
        ("pod.metadata.uid", "a\nb"),
        ("pod.metadata.uid", "x" * 1000),
        ("pod.metadata.namespace", "../../etc"),
        ("pod.metadata.namespace", ".remote-slurm"),
        ("pod.metadata.name", "a\n#SBATCH --wrap=id"),
        ("pod.spec.containers.0.name", "../x"),
        ("pod.spec.containers.0.name", "-rf"),
    ],
)
def test_a_pod_that_cannot_be_is_refused_with_a_sentence(served24: Serving, path: str, value: Any) -> None:
    before = served24.folders
    answer = served24.vk.refused(changed(payload("create-hello.json"), path, value))
    assert answer.status == 400, answer
    assert served24.folders <= before  # those of other tests go meanwhile


@pytest.mark.parametrize("uid", ["../../etc", "a/b", "", "$(id)", "a\nb"])
def test_no_endpoint_takes_a_uid_that_is_a_path(served24: Serving, uid: str) -> None:
    a_pod = changed(pod(sh("c", "true")), "metadata.uid", uid)
    for answer in (
        served24.client.status(a_pod),
        served24.client.delete(a_pod),
        served24.client.logs(a_pod, "c"),
    ):
        assert_sentence(answer)
        assert answer.status == 400
    assert all(".." not in path.name for path in served24.journal)


@pytest.mark.parametrize("container", ["../records/c", "", "a b", "-n"])
def test_no_log_is_read_outside_of_its_folder(served24: Serving, container: str) -> None:
    answer = served24.client.ask("GET", "/getLogs", log_request(pod(sh("c", "true")), container))
    assert_sentence(answer)
    assert answer.status == 400


def test_a_list_of_two_pods_is_no_create(served24: Serving) -> None:
    assert served24.vk.refused([payload("create-hello.json"), payload("create-hello.json")]).status == 400


def test_an_unknown_path_and_method_are_answered_with_a_sentence(served24: Serving) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("PUT", "/create", 405)):
        answer = served24.client.ask(method, path, {})
        assert_sentence(answer)
        assert answer.status == status


def test_what_slurm_refuses_fails_with_its_words_and_leaves_nothing(served: Serving) -> None:
    a_pod = pod(sh("c", "true"), flags="--partition=nowhere")
    answer = served.vk.refused(request(a_pod))
    assert answer.status == 422
    assert "invalid partition specified: nowhere" in answer.text
    assert "annotation slurm-job.vk.io/flags is --mem=10M --partition=nowhere" in answer.text
    assert served.left_of(a_pod) == []
    assert served.client.status(a_pod).json == []

    a_pod["metadata"]["annotations"]["slurm-job.vk.io/flags"] = "--partition=short --mem=10M"
    corrected = served.vk.create(request(a_pod)).until_over()
    assert corrected.phase == "Succeeded"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ("--array=1-3", "--array"),
        ("-a 1-3", "--array"),
        ("--arr=1-3", "--array"),
        ("--wrap=id", "--wrap"),
        ("--output=/tmp/x", "--output"),
        ("--time", "--time"),
        ("rm -rf", "rm"),
        ("'unfinished", "quotation"),
        ('--comment="a\nb"', "printable"),
    ],
)
def test_flags_that_a_pod_cannot_have_are_refused_with_a_sentence(served24: Serving, flags: str, word: str) -> None:
    a_pod = pod(sh("c", "true"), flags=flags)
    answer = served24.vk.refused(request(a_pod))
    assert answer.status == 400
    assert word in answer.text
    assert served24.jobs_of(a_pod) == []


def test_flags_reach_slurm_as_they_are(served: Serving) -> None:
    a_pod = pod(sh("c", "true"))
    a_pod["metadata"]["annotations"]["slurm-job.vk.io/flags"] = (
        "--mem=10M -J 'two words $HOME `id` %j' -t 7 -p short --comment=x=y"
    )
    flagged = served.vk.create(request(a_pod))
    shown = served.site.exec(f"squeue -j {flagged.job} --states=all -h -o '%j|%l|%P|%k'")
    assert shown == "two words $HOME `id` %j|7:00|short|x=y\n"
    assert flagged.until_over().phase == "Succeeded"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_deleting_an_unknown_pod_succeeds(served: Serving, method: str) -> None:
    unknown = pod(sh("c", "true"))
    assert served.client.delete(unknown, method).status == 200
    served.until_gone(unknown)


def test_a_pod_that_was_deleted_before_its_create_is_not_started(served: Serving) -> None:
    late = pod(sh("c", "true"))
    served.client.delete(late)
    served.until_gone(late)
    assert "deleted" in served.vk.refused(request(late)).text
    assert served.jobs_of(late) == []


def test_containers_that_are_not_offloaded_stand_as_the_pod_does(served24: Serving) -> None:
    """They are missing from create's pod, and present in status' and delete's."""
    body = request(held("exit 3"))
    notes = body["pod"]["metadata"]["annotations"]
    notes["interlink.eu/disable-offload-containers"] = "local"
    notes["interlink.eu/disable-offload-init-containers"] = "prepare"
    watched = served24.vk.create(body)
    whole: Json = json.loads(json.dumps(body["pod"]))
    whole["spec"]["containers"].append(sh("local", "sleep 99"))
    whole["spec"]["initContainers"] = [sh("prepare", "true")]
    watched.pod = whole
    watched.until_running("local")
    go_on(served24, watched.pod)
    watched.until_over()
    assert watched.exit_code("c") == watched.exit_code("local") == 3
    assert watched.phases == ["Pending", "Running", "Failed"]


def test_every_line_of_a_request_names_pod_job_and_session(served24: Serving) -> None:
    body = request(pod(sh("c", "true")))
    created = served24.client.create(body, session="CreatePod#4711").json
    name = f"default/{body['pod']['metadata']['name']}"
    lines = [line for line in served24.sidecar.log.splitlines() if name in line]
    assert any(
        f"job={created['PodJID']}" in line and "session=CreatePod#4711" in line and f"pod={name}" in line
        for line in lines
    )


def test_the_ping_has_the_totals_of_the_site(served: Serving) -> None:
    wait_until(lambda: served.client.ping()["resources"]["pods"] != "0", "the ping has totals")
    ping = served.client.ping()
    assert set(ping) == {"status", "resources"}
    assert ping["status"] == "ok"
    resources = ping["resources"]
    assert [resources["cpu"], resources["pods"]] == ["64", "1000"]
    memory = served.site.exec("sinfo -h -o %m").strip().rstrip("+")
    assert resources["memory"] == f"{memory}Mi"
    assert resources["accelerators"] == [{"resourceType": "nvidia.com/gpu", "available": "4"}]


def test_null_is_a_ping_too(served24: Serving) -> None:
    assert served24.client.ask("GET", "/status", None).json["status"] == "ok"


def test_system_info_has_sinfo_in_it(served: Serving) -> None:
    info = served.client.system_info()
    assert set(info) == {"status", "timestamp", "slurm_connected", "reachable", "sinfo_output", "error", "orphans"}
    assert [info["status"], info["slurm_connected"], info["error"]] == ["ok", True, ""]
    assert "main*" in info["sinfo_output"]


def test_the_same_pod_again_is_the_same_job(served: Serving) -> None:
    body = request(pod(sh("c", "true")))
    first, second = served.vk.create(body), served.vk.create([body])
    assert first.job == second.job
    first.until_over()
    assert served.vk.create(body).job == first.job
    assert len(served.jobs_of(body["pod"])) == 1
    assert key(body["pod"]) in " ".join(served.site.files(served.root))
