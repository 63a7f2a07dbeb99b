"""Nodes that share no file system with the login node: rejected pods, files that are sent, records in the comment."""

import base64
import json
from typing import Any

import pytest

from remote_slurm.domain.job_usage import JobUsage, Source
from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.plan.node_local_files import FILES, NodeLocalFiles, file_transfer
from remote_slurm.domain.records import ContainerPhase, Record
from remote_slurm.domain.status.job_comment import CommentReport, parse_comment
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import config, container, flag_lines, plan, pod, request

POD = "default-1"
APART = {"SHARED_FS": False}


def node_local(**keys: Any) -> NodeLocalFiles:
    found = file_transfer(config(**APART, **keys))
    assert isinstance(found, NodeLocalFiles)
    return found


RUNNING = Record(POD, "main", ContainerPhase.RUNNING, 5, 0, 0, 0)


@pytest.mark.parametrize(
    ("comment", "standing"),
    [
        ("", None),
        ("somebody's own | with a bar", None),
        ("|failed=no|", None),
        ("at=relative;|", None),
        ("at=/tmp/a", None),  # cut off
        ("at=/tmp/a;|", CommentReport("/tmp/a")),
        ("at=/tmp/a;main running 5 0 0 0;|user's; own", CommentReport("/tmp/a", (RUNNING,))),
        (
            "at=/tmp/a;main running 5 0 0 0;nonsense;main walking 5 0 0 0;over;|",
            CommentReport("/tmp/a", (RUNNING,), over=True),
        ),
        (
            "at=/tmp/a;usage=1500,9,2,-,-,-,cgroup;over;|usage=9,9,9,9,9,9,times;",
            CommentReport("/tmp/a", over=True, usage=JobUsage(Source.CGROUP, 1.5, 9, 2)),
        ),
        ("at=/tmp/a;usage=1500,9,2,-,-,-,cgr;over;|", CommentReport("/tmp/a", over=True)),
        (
            "at=/tmp/a;main terminated 5 6 1 0 50%25 %3B %7C done;|",
            CommentReport(
                "/tmp/a",
                (Record(POD, "main", ContainerPhase.TERMINATED, 5, 6, 1, 0, "50% ; | done", reason="Error"),),
            ),
        ),
        (
            "failed=no folder can be made in /tmp on node n1|",
            CommentReport(failure="no folder can be made in /tmp on node n1"),
        ),
    ],
)
def test_a_comment_is_read(comment: str, standing: CommentReport | None) -> None:
    assert parse_comment(POD, comment) == standing


def test_the_files_stand_behind_the_script_as_lines_of_base64() -> None:
    archive = bytes(range(256)) * 10
    script, files = node_local().carry("#!/bin/bash\nexit\n", archive).decode().split(FILES)
    assert script == "#!/bin/bash\nexit\n"
    assert base64.b64decode(files) == archive
    assert max(map(len, files.splitlines())) < 80


def test_a_script_that_slurm_would_not_take_is_refused() -> None:
    with pytest.raises(
        InvalidRequest, match=r"the batch script has \d+ bytes with the pod's files, more than MaxScriptSize \(1000"
    ):
        node_local(MaxScriptSize=1000).carry("#!/bin/bash\n", bytes(1000))


KEY = {"secretKeyRef": {"name": "keys", "key": "token"}}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (pod(annotations={"slurm-job.vk.io/flags": "--hold"}), "--hold cannot be used with SHARED_FS: false"),
        (pod(*(container(f"container-{n}") for n in range(20))), r"too many containers \(20\) for SHARED_FS: false"),
        (
            pod(
                container(volumeMounts=[{"name": "keys", "mountPath": "/k"}]),
                volumes=[{"name": "keys", "secret": {"secretName": "keys"}}],
            ),
            "volume 'keys' is a Secret, or contains one, and with SHARED_FS: false .* SecretsInScript: true",
        ),
        (
            pod(
                container(volumeMounts=[{"name": "all", "mountPath": "/k", "subPath": "token"}]),
                volumes=[{"name": "all", "projected": {"sources": [{"secret": {"name": "keys"}}]}}],
            ),
            "volume 'all' is a Secret, or contains one, and with SHARED_FS: false .* SecretsInScript: true",
        ),
        (
            pod(initContainers=[container("i", env=[{"name": "A", "value": "t0p", "valueFrom": KEY}])]),
            "environment variable 'A' of container 'i' has the value of a Secret, and with SHARED_FS: false",
        ),
    ],
)
def test_what_is_refused_there_and_nowhere_else(body: dict[str, Any], sentence: str) -> None:
    secrets = [{"metadata": {"name": "keys"}, "data": {"token": "dDBw"}}]
    with pytest.raises(InvalidRequest, match=sentence):
        plan(body, settings=APART, secrets=secrets)
    assert plan(body, secrets=secrets).report_calls == ()


def test_as_many_containers_as_fit_into_the_comment_are_taken() -> None:
    """Each takes 70 characters and its name, of 700."""
    fits = [container(f"c{n}" + "x" * 28) for n in range(7)]
    assert plan(pod(*fits), settings=APART).report_calls == (("no_shared_fs", "scontrol", "fetch_timeout=60", ""),)
    with pytest.raises(InvalidRequest, match=r"too many containers \(8\)"):
        plan(pod(*fits, container("c")), settings=APART)


def test_registry_logins_need_secrets_in_script() -> None:
    body = pod(imagePullSecrets=[{"name": "s"}])
    auths = base64.b64encode(json.dumps({"auths": {"docker.io": {"username": "u", "password": "p"}}}).encode()).decode()
    secrets = [{"metadata": {"name": "s"}, "data": {".dockerconfigjson": auths}}]
    with pytest.raises(
        InvalidRequest, match="logins of imagePullSecrets, and with SHARED_FS: false it would be in the batch script"
    ):
        plan(body, settings=APART, secrets=secrets)
    for settings in ({}, APART | {"SecretsInScript": True}):
        files = plan(body, settings=settings, secrets=secrets).files
        assert [file for file in files if file.path.startswith("secret/pull/")]


def test_a_secret_travels_where_the_configuration_allows_it() -> None:
    body = pod(
        container(volumeMounts=[{"name": "keys", "mountPath": "/k"}]),
        volumes=[{"name": "keys", "secret": {"secretName": "keys"}}],
    )
    secrets = [{"metadata": {"name": "keys"}, "data": {"token": "dDBw"}}]
    files = plan(body, settings=APART | {"SecretsInScript": True}, secrets=secrets).files
    assert [file.content for file in files if file.path == "secret/volumes/keys/token"] == [b"t0p"]


def test_a_projected_volume_stays_empty_with_a_warning() -> None:
    volume = {"name": "access", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
    body = pod(container(volumeMounts=[{"name": "access", "mountPath": "/a"}]), volumes=[volume])
    planned = plan_job(
        request(body, projectedvolumemaps=[{"metadata": {"name": "access"}, "data": {"token": "t0p"}}]), config(**APART)
    )
    assert "projected volume 'access' stays empty, since SecretsInScript is false" in " ".join(planned.warnings)
    assert not [file for file in planned.files if file.content and b"t0p" in file.content]


def test_jobs_start_in_the_root_folder_unless_the_pod_sets_chdir() -> None:
    assert "--chdir=/" in flag_lines(pod(), **APART)
    own = pod(annotations={"slurm-job.vk.io/flags": "--chdir=/opt"})
    assert [line for line in flag_lines(own, **APART) if "chdir" in line] == ["--chdir=/opt"]


@pytest.mark.parametrize("comment", ["failed=no|", "at=/etc;over;|", "mine"])
def test_the_pods_own_comment_is_no_report_before_the_job_has_begun(comment: str) -> None:
    own = pod(annotations={"slurm-job.vk.io/flags": f"'--comment={comment}'"})
    (flag,) = [flag for flag in plan(own, settings=APART).flags if flag.name == "comment"]
    assert flag.value == f"|{comment}"
    assert parse_comment(POD, flag.value) is None
    (flag,) = [flag for flag in plan(own).flags if flag.name == "comment"]
    assert flag.value == comment
