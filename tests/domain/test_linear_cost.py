"""Ten times as long a text in any field of a pod takes about ten times as long, whatever the text is."""

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.script import payload
from remote_slurm.domain.pod.expansion import expand, references_only, unresolved_references
from remote_slurm.domain.pod.model import CreateRequest, parse_pods
from remote_slurm.domain.pod.quantity import quantity
from remote_slurm.domain.slurm.job_flags import minutes_of
from remote_slurm.errors import InvalidRequest
from remote_slurm.job import SCRIPTS
from tests.domain.podspec import config, container, plan, pod
from tests.wrong_shapes import places, replaced

SHORT = 3_000
# A quadratic loop takes a hundred times as long; times below the floor, in seconds, do not matter
MOST = 30
FLOOR = 0.03
FILLERS = ["$(", "$$", "1", "a", "-", ":", "a/", "\\", "'", "a ", "a-", "a.", "()", "\n", "=", ","]

HOOKS = {
    "postStart": {"exec": {"command": ["a", "$(A)"]}},
    "preStop": {
        "httpGet": {"port": "web", "host": "localhost", "path": "/x", "httpHeaders": [{"name": "a", "value": "b"}]}
    },
}
RICH = pod(
    container(
        "main",
        "sh",
        args=["$(A)"],
        workingDir="/tmp",
        env=[
            {"name": "A", "value": "b"},
            {"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
            {"name": "R", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        ],
        resources={"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "1"}},
        volumeMounts=[{"name": "e", "mountPath": "/e", "subPathExpr": "$(A)"}, {"name": "h", "mountPath": "/h"}],
        ports=[{"name": "web", "containerPort": 80}],
        lifecycle=HOOKS,
        livenessProbe={"exec": {"command": ["$(A)"]}},
        terminationMessagePath="/dev/termination-log",
    ),
    annotations={
        "slurm-job.vk.io/flags": "--job-name=x -t 10 --gres=gpu:a100:1",
        "slurm-job.vk.io/flavor": "",
        "slurm-job.vk.io/job-workdir": "/x",
        "slurm-job.vk.io/mpi-flags": "--bind-to x",
        "slurm-job.vk.io/singularity-mounts": "/a:/b",
        "slurm-job.vk.io/singularity-options": "--nv",
        "slurm-job.vk.io/pre-exec": "true",
        "interlink.eu/pod-ip": "10.0.0.1",
        "interlink.eu/wireguard-client-snippet": "x",
    },
    volumes=[
        {"name": "e", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "h", "hostPath": {"path": "/tmp", "type": "Directory"}},
        {"name": "d", "downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ],
    imagePullSecrets=[{"name": "s"}],
    serviceAccountName="default",
)


def at(document: Any, place: tuple[Any, ...]) -> Any:
    for name in place:
        document = document[name]
    return document


TEXTS = [place for place in places(RICH) if isinstance(at(RICH, place), str)]
SETTINGS = config()


def seconds(body: Any) -> float:
    """Of the processor's time."""
    gc.collect(0)
    begun = time.thread_time()
    with suppress(InvalidRequest):
        parse_pods([body])
        payload(plan(body), SCRIPTS)
    return time.thread_time() - begun


@pytest.mark.parametrize("filler", FILLERS)
def test_each_text_of_a_pod(filler: str) -> None:
    for place in TEXTS:
        # a character that no pattern expects is at the end: then all that it may begin with was tried in vain
        short, long = (replaced(RICH, place, filler * SHORT * times + "!") for times in (1, 10))
        if seconds(long) > FLOOR:
            assert min(seconds(long) for _ in range(3)) < MOST * seconds(short), place


@pytest.mark.parametrize("filler", FILLERS)
def test_what_is_read_one_by_one(filler: str) -> None:
    for read in (
        lambda text: expand(text, {"A": "b"}),
        lambda text: references_only(text, {"A": "b"}),
        lambda text: unresolved_references(text, {}),
        lambda text: quantity(text, "it"),
        minutes_of,
    ):
        assert work(read, filler * SHORT * 10 + "!") < max(FLOOR, MOST * work(read, filler * SHORT + "!")), read


def work(read: Callable[[str], object], text: str) -> float:
    begun = time.thread_time()
    with suppress(InvalidRequest):
        read(text)
    return time.thread_time() - begun


def test_a_million_references_are_refused_before_expansion() -> None:
    with pytest.raises(InvalidRequest, match="larger than 2 MiB"):
        expand("$(A)" * 100_000, {"A": "x" * 100_000})


def test_values_that_name_each_other_do_not_grow_without_end() -> None:
    env = [{"name": "A", "value": "x" * 1000}]
    env += [{"name": chr(66 + number), "value": f"$({chr(65 + number)})" * 1000} for number in range(5)]
    with pytest.raises(InvalidRequest, match="larger than 2 MiB"):
        plan(pod(container(env=env)))


@pytest.mark.parametrize("many", [
    {"volumes": [{"name": f"v{number}", "emptyDir": {}} for number in range(2500)]},
    {"initContainers": [container(f"c{number}") for number in range(5000)]},
    {"tolerations": [{}] * 100_000},
])  # fmt: skip
def test_more_than_a_pod_may_have(many: Any) -> None:
    with pytest.raises(InvalidRequest, match="are allowed"):
        CreateRequest.parse({"pod": pod(**many)})


def test_more_annotations_than_a_pod_may_have() -> None:
    with pytest.raises(InvalidRequest, match="characters in its annotations: 524288 are allowed"):
        CreateRequest.parse({"pod": pod(annotations={"example.org/a": "x" * 600_000})})


def test_what_is_nested_too_deeply() -> None:
    affinity: Any = {}
    for _ in range(500):
        affinity = {"a": affinity}
    with pytest.raises(InvalidRequest, match="nested too deeply: 64 levels are allowed"):
        CreateRequest.parse({"pod": pod(affinity=affinity)})


def files(count: int, size: int, path: str = "f{}") -> Any:
    items = [{"key": "k", "path": path.format(number)} for number in range(count)]
    volumes = [{"name": "v", "configMap": {"name": "m", "items": items}}]
    body = pod(container(volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=volumes)
    config_map = {"metadata": {"name": "m"}, "data": {"k": "x" * size}}
    return {"pod": body, "container": [{"name": "main", "configMaps": [config_map]}]}


@pytest.mark.parametrize(("request_", "words"), [
    (files(10_000, 1), "more than 10000 files and folders"),
    (files(9_000, 1, "{}/f"), "more than 10000 files and folders"),
    (files(100, 1_000_000), "larger than 64 MiB"),
    (files(1, 1, "x" * 256), "a name has at most 255"),
    (files(1, 1, "ü" * 128), "a name has at most 255"),
    (files(1, 1, "x/" * 2000 + "x"), "2048 are allowed"),
], ids=["files", "folders", "bytes", "name", "bytes of a name", "path"])  # fmt: skip
def test_more_files_than_a_pod_may_have(request_: Any, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        plan_job(CreateRequest.parse(request_), SETTINGS)


def test_how_large_a_pod_is_is_known_before_it_is_packed() -> None:
    """A short request can describe a large pod."""
    request = CreateRequest.parse(files(500, 100_000), 150_000)
    assert request.size == 150_000
    assert plan_job(request, SETTINGS).size > 50_000_000
    value = {"name": "A", "value": "x" * 100_000}
    expanded_words = CreateRequest.parse({"pod": pod(container("main", "sh", args=["$(A)"] * 10, env=[value]))})
    assert plan_job(expanded_words, SETTINGS).size > 100_000


def test_one_config_map_in_many_volumes_is_counted_in_each() -> None:
    body = files(1, 1_000_000)
    body["pod"]["spec"]["volumes"] = [{"name": f"v{each}", "configMap": {"name": "m"}} for each in range(100)]
    mounts = [{"name": f"v{each}", "mountPath": f"/v{each}"} for each in range(100)]
    body["pod"]["spec"]["containers"][0]["volumeMounts"] = mounts
    with pytest.raises(InvalidRequest, match="larger than 64 MiB"):
        plan_job(CreateRequest.parse(body), SETTINGS)


def test_a_file_and_a_folder_of_one_path_are_refused() -> None:
    body = files(2, 1, "a/{}")
    body["pod"]["spec"]["volumes"][0]["configMap"]["items"].append({"key": "k", "path": "a"})
    with pytest.raises(InvalidRequest, match="a file and a folder of the same path, volumes/v/a: rename one"):
        payload(plan_job(CreateRequest.parse(body), SETTINGS), SCRIPTS)


@pytest.mark.parametrize(("path", "field"), [
    (("spec", "containers", 0, "workingDir"), "workingDir"),
    (("spec", "containers", 0, "volumeMounts", 1, "mountPath"), "volumeMount 'h'"),
    (("spec", "containers", 0, "volumeMounts", 0, "subPathExpr"), "volumeMount 'e'"),
    (("spec", "containers", 0, "terminationMessagePath"), "terminationMessagePath"),
    (("spec", "volumes", 1, "hostPath", "path"), "hostPath volume 'h'"),
    (("metadata", "annotations", "slurm-job.vk.io/job-workdir"), "job-workdir"),
])  # fmt: skip
def test_a_name_that_no_file_can_have(path: Any, field: str) -> None:
    name = "x" * 300 if field == "volumeMount 'e'" else "/" + "x" * 300
    with pytest.raises(InvalidRequest, match=rf"{field}.* has a path with a name of 300 bytes in it"):
        plan(replaced(RICH, path, name))


def test_only_interlink_s_part_of_a_create_is_read() -> None:
    """The storage class of a claim, which decides on its path, is asked of Kubernetes."""
    body = {"pod": pod(), "storageClasses": {"c": "fast"}, "pullSecrets": [{}], "storage_classes": {"c": "fast"}}
    request = CreateRequest.parse(body)
    assert (request.storage_classes, request.pull_secrets) == ({}, ())
