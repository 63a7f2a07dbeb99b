"""`run`: a pod from its file to its exit code, and nothing left of it."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import EXAMPLES, PodFile, Program, ProgramAt
from tests.sidecar import PATIENCE
from tests.sites import Site


def left(site: Site, program: Program) -> None:
    return [name for name in site.files(program.root) if not name.startswith(".remote-slurm")]


def test_the_exit_code_the_log_and_nothing_left(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    program = program_at(site)
    done = program("run", pod_file("echo to stdout; echo to stderr >&2; exit 3", "three"))
    assert done.returncode == 3
    assert done.stdout == "to stdout\nto stderr\n"
    assert "default/three: submitted as job" in done.stderr
    assert "main: ended with exit code 3" in done.stderr
    assert left(site, program) == []


@pytest.mark.parametrize("example", ["hello-pod.yaml", "settings-pod.yaml"])
def test_the_examples(program_at: ProgramAt, site: Site, example: Path) -> None:
    done = program_at(site)("run", EXAMPLES / example)
    assert done.returncode == 0
    assert done.stdout.startswith("hello from ")
    assert "warning" not in done.stderr


def test_config_map_secret_and_environment_arrive(program_at: ProgramAt, site: Site) -> None:
    done = program_at(site)("run", EXAMPLES / "settings-pod.yaml")
    assert "hello from a ConfigMap\npod settings, level 3, a token of 16 characters\n" in done.stdout
    assert "-r--------" in done.stdout
    assert "not-a-real-token" not in done.stdout + done.stderr


def test_the_log_of_another_container(program_at: ProgramAt, site: Site) -> None:
    done = program_at(site)("run", "--container", "prepare", EXAMPLES / "settings-pod.yaml")
    assert done.stdout == "prepared\n"


def test_a_container_that_the_pod_does_not_have(program_at: ProgramAt, site: Site) -> None:
    done = program_at(site)("run", "--container", "x", EXAMPLES / "hello-pod.yaml")
    assert done.returncode == 1
    assert "has no container 'x': it has hello" in done.stderr


def test_json_in_place_of_the_log(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    done = program_at(site)("run", "--output", "json", pod_file("echo text; exit 4"))
    assert done.returncode == 4
    result = json.loads(done.stdout)
    assert result["exitCode"] == 4
    assert result["status"]["containers"][0]["state"]["terminated"]["exitCode"] == 4


def test_by_a_sidecar_that_is_running(program_at: ProgramAt, site: Site, sidecar: Any, pod_file: PodFile) -> None:
    program = program_at(site, VerboseLogging=True)
    running = sidecar(program.config)
    program.config = None
    done = program("run", "--url", running.url, pod_file("echo hi; exit 5"))
    assert (done.returncode, done.stdout) == (5, "hi\n")


def test_each_run_of_a_container_that_is_restarted_is_shown(program_at: ProgramAt, site: Site, tmp_path: Path) -> None:
    script = (
        "echo run >>/work/runs; run=$(wc -l </work/runs); echo of run $run; "
        "until [ -e /work/go$run ]; do sleep 0.1; done; [ $run -ge 2 ] || exit 3"
    )
    container = {
        "name": "c",
        "image": "busybox",
        "command": ["/bin/sh", "-c", script],
        "resources": {"limits": {"memory": "10Mi"}},
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "work", "emptyDir": {}}], "restartPolicy": "OnFailure"}
    path = tmp_path / "pod.yaml"
    path.write_text(json.dumps({"kind": "Pod", "metadata": {"name": "again"}, "spec": spec}))
    program = program_at(site)
    process = program.start("run", path)
    for run in (1, 2):
        assert process.stdout.readline() == f"of run {run}\n"
        site.exec(f"for each in {program.root}/default-*/volumes/work; do touch $each/go{run}; done")
    assert process.communicate(timeout=PATIENCE)[0] == ""
    assert process.returncode == 0


def test_slurms_own_words_where_it_refuses(program_at: ProgramAt, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    annotations = {"slurm-job.vk.io/flags": "--partition=nope"}
    container = {"name": "c", "image": "busybox", "resources": {"limits": {"memory": "10Mi"}}}
    pod = {"kind": "Pod", "metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": [container]}}
    path.write_text(json.dumps(pod | {"spec": pod["spec"] | {"restartPolicy": "Never"}}))
    done = program_at(site)("run", path)
    assert done.returncode == 1
    assert "invalid partition specified: nope" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("SSH.Port=1", "cannot reach 127.0.0.1 port 1"),
        ("SSH.UserKnownHostsFile=/dev/null", "host key"),
    ],
)
def test_a_site_that_cannot_be_used_is_said_at_once(
    program_at: ProgramAt, site: Site, pod_file: PodFile, setting: Any, sentence: str
) -> None:
    began = time.monotonic()
    done = program_at(site)("run", "--set", setting, pod_file("true"))
    assert done.returncode == 1
    assert sentence in done.stderr.splitlines()[-1]
    assert time.monotonic() - began < 40  # others are waited for by create, which takes 55 s


def test_a_url_where_no_sidecar_listens(program: Program, pod_file: PodFile) -> None:
    done = program("run", "--url", "http://127.0.0.1:1", pod_file("true"))
    assert done.returncode == 1
    assert done.stderr == "remote-slurm: no sidecar answers at http://127.0.0.1:1: Connection refused\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_deletes_the_pod(program_at: ProgramAt, site: Site, pod_file: PodFile, number: Any) -> None:
    program = program_at(site)
    process = program.start("run", pod_file("echo begun; sleep 300"))
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    _, words = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "default/pod: deleting it" in words
    assert left(site, program) == []


def test_a_second_interrupt_leaves_at_once(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    program = program_at(site)
    stubborn = pod_file("trap '' TERM; echo begun; while :; do sleep 1; done", terminationGracePeriodSeconds=60)
    process = program.start("run", stubborn)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    while "deleting it" not in (said := process.stderr.readline()):
        assert said, "it has ended"
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "stopped waiting before the pod was removed" in words
    assert program("status").returncode == 0  # and the next one goes on with the delete


def test_a_reader_that_goes_away_ends_the_pod(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    program = program_at(site)
    process = program.start("run", pod_file("while :; do echo line; sleep 0.2; done"))
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    assert process.wait(PATIENCE) == 141
    assert "Traceback" not in process.stderr.read()
    assert left(site, program) == []


def test_kept_until_it_is_deleted(program_at: ProgramAt, site: Site, pod_file: PodFile) -> None:
    program = program_at(site)
    path = pod_file("for i in 1 2 3; do echo line $i; done; exit 6", "kept")
    assert program("run", "--keep", path).returncode == 6

    (pod,) = json.loads(program("status", "--output", "json").stdout)["pods"]
    assert pod["name"] == "default/kept"
    assert pod["state"] == "FAILED"  # Slurm's word for an exit code
    assert [(each["name"], each["exitCode"]) for each in pod["containers"]] == [("main", 6)]
    rows = program("status", "-o", "wide", "kept", "default/kept", pod["pod"], path).stdout.splitlines()
    assert (len(rows), rows[1].split()[0], rows[1].split()[-1]) == (2, "default/kept", pod["pod"])
    assert program("logs", "kept").stdout == "line 1\nline 2\nline 3\n"
    assert program("logs", "-f", "--tail", "1", path).stdout == "line 3\n"

    assert program("delete", path).stdout == f"{pod['pod']} deleted\n"
    done = program("status")
    assert (done.returncode, done.stdout) == (0, "")
    assert "there are no pods at" in done.stderr
    assert left(site, program) == []


@pytest.mark.parametrize("command", ["status", "logs", "delete"])
def test_a_pod_that_is_not_there(program_at: ProgramAt, site: Site, command: str) -> None:
    done = program_at(site)(command, "default/nobody")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "there is no pod 'default/nobody' at" in done.stderr


def test_a_log_is_followed_by_way_of_the_configured_sidecar(
    program_at: ProgramAt, site: Site, sidecar: Any, pod_file: PodFile, tmp_path: Path
) -> None:
    """Without --url: it is found where the configuration says that it listens."""
    program = program_at(site, Socket=f"unix://{tmp_path}/socket", VerboseLogging=True)
    running = sidecar(program.config)
    process = program.start(
        "run", "--keep", "--url", running.url, pod_file("for i in 1 2 3 4 5; do echo $i; sleep 1; done")
    )
    assert process.stdout.readline() == "1\n"
    done = program("logs", "-f", "pod")
    assert done.stdout == "1\n2\n3\n4\n5\n"
    assert "listening" not in done.stderr
    assert process.stdout.read() == "2\n3\n4\n5\n"  # `communicate` would pass over what is buffered
    assert process.wait(PATIENCE) == 0
    assert program("delete", "pod").returncode == 0
