"""SHARED_FS: false, at a site whose node sees nothing of the login node's file systems."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_slurm.cli.documents import read_documents
from remote_slurm.cli.request import create_request
from tests.pods import Json, key, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.shared_sidecars import SharedSidecars
from tests.sidecar import ENVIRONMENT, PATIENCE, PROGRAM, Sidecar
from tests.sites import Site
from tests.vk import Watched, assert_sentence

EXAMPLES = Path(__file__).parents[2] / "examples"

# What a shell on the node has to begin with: the node's own mounts
ON_NODE = "nsenter --mount --target $(cat /run/slurmd.pid) -- sh -c"

AS_USER = "setpriv --reuid hpcuser --regid hpcuser --clear-groups"


KEYS = {"SHARED_FS": False, "MaxScriptSize": "1Mi"}


@pytest.fixture
def apart(apart_site: Site, shared_sidecars: SharedSidecars) -> Serving:
    """One sidecar for all tests here."""
    return shared_sidecars.get("no-shared-fs", apart_site, keys=lambda _: KEYS)


@pytest.fixture
def apart22(apart22_site: Site, shared_sidecars: SharedSidecars) -> Serving:
    """The same with Slurm 22.05, where containers run on the node itself."""
    return shared_sidecars.get("no-shared-fs-22", apart22_site, keys=lambda _: KEYS)


def left_on_node(site: Site, watched: Watched) -> list[str]:
    """Of this pod's job: other tests may run at the same time."""
    folders = f"/tmp/remote-slurm-{watched.job}-* /home/hpcuser/.interlink"
    return site.exec(f"{ON_NODE} 'ls -d {folders} 2>/dev/null; true'").split()


def settings(**data: str) -> list[Json]:
    return [{"metadata": {"name": "settings"}, "data": data}]


def with_settings(*containers: Json, **spec: object) -> Json:
    mounts = [{"name": "settings", "mountPath": "/settings"}]
    return pod(
        *({**each, "volumeMounts": mounts} for each in containers),
        volumes=[{"name": "settings", "configMap": {"name": "settings"}}],
        **spec,
    )


def test_files_reach_the_node_and_states_exit_codes_and_logs_come_back(apart: Serving) -> None:
    body = with_settings(
        sh(
            "good",
            '# --- files\n# --- files of mine\ncat /settings/greeting; echo "and $NAME"',
            env=[{"name": "NAME", "value": "it's $HOME; `id`"}],
        ),
        sh("bad", "sleep 1; echo sorry; exit 7"),
        initContainers=[sh("first", "echo first")],
        flags='--comment="it\'s | mine;"',
    )
    watched = apart.vk.create(request(body, configMaps=settings(greeting="hello\n"))).until_over()
    assert {name: watched.exit_code(name) for name in ("first", "good", "bad")} == {"first": 0, "good": 0, "bad": 7}
    assert watched.log("good") == "hello\nand it's $HOME; `id`\n"
    wait_until(lambda: apart.jobs_of(body) == ["FAILED"], "the job has ended, once its logs were fetched")
    assert watched.log("first") == "first\n"
    assert watched.log("bad", Tail=1) == "sorry\n"
    comment = apart.site.exec(f"squeue --noheader --states=all --jobs={watched.job} --format=%k")
    assert comment.endswith("|it's | mine;\n")
    wait_until(lambda: left_on_node(apart.site, watched) == [], "nothing is left on the node")
    watched.delete()
    apart.until_gone(body)


def test_a_log_is_followed_while_the_container_runs(apart: Serving) -> None:
    body = pod(sh("main", "echo one; until [ -e /tmp/go ]; do sleep 0.2; done; echo two"))
    watched = apart.vk.create(request(body)).until_running("main")
    with apart.client.follow(body, "main") as follower:
        assert follower.line() == "one\n"
        at_node = f"for each in /tmp/remote-slurm-*/{key(body)}/scratch/main/tmp; do : >$each/go; done"
        apart.site.exec(f"{ON_NODE} '{at_node}'")
        assert follower.rest() == "two\n"
    watched.until_over()
    assert watched.phase == "Succeeded"


def test_an_older_slurm_brings_back_states_exit_codes_and_logs_as_well(apart22: Serving) -> None:
    ended = pod(sh("good", 'echo "$NAME"', env=[{"name": "NAME", "value": "it's $HOME; `id`"}]), sh("bad", "exit 7"))
    running = pod(sh("main", "echo one; sleep 600"), initContainers=[sh("first", "echo first")])
    first, second = (apart22.vk.create(request(each)) for each in (ended, running))
    second.until_running("main")
    with apart22.client.follow(running, "main") as follower:
        assert follower.line() == "one\n"
    second.delete()
    first.until_over()
    assert {name: first.exit_code(name) for name in ("good", "bad")} == {"good": 0, "bad": 7}
    assert first.log("good") == "it's $HOME; `id`\n"
    wait_until(lambda: apart22.jobs_of(ended) == ["FAILED"], "the job has ended, once its logs were fetched")
    assert first.log("good") == "it's $HOME; `id`\n"
    apart22.until_gone(running)
    for each in (first, second):
        wait_until(lambda each=each: left_on_node(apart22.site, each) == [], "nothing is left on the node")


def test_the_example_for_such_sites_runs_hooks_and_probes(apart: Serving) -> None:
    asked = create_request(read_documents(EXAMPLES / "apart-pod.yaml"))
    watched = apart.vk.create(asked).until_over()
    assert (watched.phase, watched.exit_code("main")) == ("Succeeded", 0)
    assert watched.status["containers"][0]["restartCount"] == 1
    assert watched.terminated("main")["message"] == "done"
    assert watched.log("main") == "hello from the script\n"


def test_liveness_restarts_a_container_after_its_pre_stop(apart: Serving) -> None:
    script = """\
[ -e /work/ran ] || { touch /work/ran; sleep 600; }
trap 'cat /tmp/hook; echo told to end; exit 0' TERM
touch /work/alive
while :; do sleep 0.1; done"""
    container = sh(
        "main",
        script,
        volumeMounts=[{"name": "work", "mountPath": "/work"}],
        livenessProbe={"exec": {"command": ["test", "-e", "/work/alive"]}, "periodSeconds": 1, "timeoutSeconds": 60},
        lifecycle={"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo preStop >/tmp/hook"]}}},
    )
    volumes = [{"name": "work", "emptyDir": {}}]
    spec = {"restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 30}
    watched = apart.vk.create(request(pod(container, volumes=volumes, **spec)))
    alive = f"ls /tmp/remote-slurm-{watched.job}-*/{key(watched.pod)}/volumes/work/alive 2>/dev/null; true"
    wait_until(lambda: apart.site.exec(f"{ON_NODE} '{alive}'"), "the second run is there")
    apart.site.exec(f"scancel --batch --signal=TERM {watched.job}")
    watched.until_over()
    assert watched.status["containers"][0]["restartCount"] == 1
    assert watched.log("main") == "preStop\ntold to end\n"


def check(apart: Serving, *options: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "check", "--config", str(apart.config), "--job", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=ENVIRONMENT)


def test_a_check_with_a_job_says_that_the_node_need_not_see_the_folder(apart: Serving) -> None:
    checked = check(apart)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "it sees no DataRootFolder, and need not: SHARED_FS is false" in checked.stdout


def test_a_check_says_what_of_slurm_is_needed_beside_sbatch(apart: Serving) -> None:
    absent = check(apart, "--set", "ScontrolPath=/opt/scontrol")
    assert "/opt/scontrol cannot be found at the site" in absent.stdout
    assert "set ScontrolPath" in absent.stdout
    fails = check(apart, "--set", "SrunPath=false")
    assert fails.returncode == 1
    assert "srun from the login node into a running job (SrunPath" in fails.stdout


def test_a_delete_ends_the_job_and_leaves_nothing_anywhere(apart: Serving) -> None:
    waiting = apart.vk.create(request(pod(sh("main", "sleep 600"), flags="--begin=now+1hour")))
    running = apart.vk.create(request(pod(sh("main", "sleep 600")))).until_running("main")
    for each in (waiting, running):
        each.delete()
    for each in (waiting, running):
        apart.until_gone(each.pod)
        wait_until(lambda each=each: left_on_node(apart.site, each) == [], "nothing is left on the node")


def test_a_killed_job_is_reported_and_the_next_job_removes_its_log(apart: Serving) -> None:
    watched = apart.vk.create(request(pod(sh("main", "echo begun; sleep 600")))).until_running("main")
    apart.site.exec(f"scancel --signal=KILL --full {watched.job}")
    watched.until_over()
    assert watched.exit_code("main") == 137
    answer = apart.client.logs(watched.pod, "main")
    assert_sentence(answer)
    assert "stayed on its node" in answer.text
    apart.vk.create(request(pod(sh("main", "true")))).until_over()
    wait_until(lambda: not left_on_node(apart.site, watched), "what the killed job has left is gone")


def test_accounting_has_the_exit_code_of_a_job_without_a_comment(
    accounted_site: Site, serve: Serve, sidecar: Callable[..., Sidecar]
) -> None:
    away = serve(accounted_site, SHARED_FS=False, FetchSeconds=0)
    one, two = (pod(*each) for each in ([sh("c", "exit 7")], [sh("a", "exit 3"), sh("b", "true")]))
    for each in (one, two):
        away.vk.create(request(each))
    assert away.sidecar.stop() == 0
    wait_until(lambda: not accounted_site.jobs(away.root), "squeue has forgotten both")
    back = Serving(accounted_site, away.config, sidecar(away.config))
    assert Watched(back.client, one).until_over().exit_code("c") == 7
    watched = Watched(back.client, two).until_over()
    assert {name: watched.exit_code(name) for name in ("a", "b")} == {"a": 3, "b": 3}
    assert "ended with exit code 3, the highest of its containers" in watched.terminated("b")["message"]


def test_a_job_whose_release_was_lost_is_released_once(apart: Serving) -> None:
    body = pod(sh("main", "echo ran"), flags="--begin=now+1hour")
    watched = apart.vk.create(request(body))
    apart.site.exec(
        f"cd '{apart.root}/{key(body)}' && rm released && {AS_USER} scontrol hold {watched.job} && "
        f"{AS_USER} sbatch --hold --output=/dev/null $PWD/job.sh && scontrol update jobid={watched.job} StartTime=now"
    )
    watched.until_over()
    assert watched.log("main") == "ran\n"
    wait_until(lambda: sorted(apart.jobs_of(body)) == ["CANCELLED", "COMPLETED"], "one of them ran")


def test_secrets_in_slurms_state_have_to_be_allowed(apart: Serving, serve: Serve, apart_site: Site) -> None:
    mount = {"volumeMounts": [{"name": "keys", "mountPath": "/keys"}]}
    body = pod(sh("main", "cat /keys/token", **mount), volumes=[{"name": "keys", "secret": {"secretName": "keys"}}])
    secrets = [{"metadata": {"name": "keys"}, "data": {"token": "dDBw"}}]
    assert "SecretsInScript" in apart.vk.refused(request(body, secrets=secrets)).text
    allowed = serve(apart_site, SHARED_FS=False, SecretsInScript=True)
    watched = allowed.vk.create(request(body, secrets=secrets)).until_over()
    assert watched.log("main") == "t0p"


def test_what_slurm_would_not_take_as_a_script_is_refused_with_a_sentence(apart: Serving) -> None:
    text = os.urandom(900_000).hex()  # which cannot be packed much
    body = with_settings(sh("main", "wc -c </settings/large"))
    fits = apart.vk.create(request(body, configMaps=settings(large=text[:700_000])))
    refused = with_settings(sh("main", "true"))
    assert "MaxScriptSize" in apart.vk.refused(request(refused, configMaps=settings(large=text))).text
    assert fits.until_over().log("main") == "700000\n"
