"""Container runtimes beside Apptainer: Podman as it is, and Enroot by a stand-in that takes what its documentation
has. TEST_ENROOT may be the path of a real one at the site: what needs neither a registry nor GPUs is tried with that.

Each sentence is one that test_containers.py and its neighbours say of Apptainer.
"""

import os
import re
import shlex
import uuid

import pytest

from remote_slurm.cli.documents import read_documents
from remote_slurm.cli.request import create_request
from tests.hostile_values import HOSTILE, ODD
from tests.pods import Json, key, pod, request, sh
from tests.runtimes import ENROOT, ENROOT_FOLDER, EXAMPLES, Shared
from tests.serving import Serving, wait_until
from tests.sites import Site
from tests.sleeping_containers import any_seconds, sleeping

RUNTIMES = ("podman", "enroot")
with_stand_in = pytest.mark.skipif(bool(ENROOT), reason="that is the stand-in's own registry, or GPUs that are none")


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, shared: Shared) -> Serving:
    return shared(request.param)


def values_for(runtime: Serving) -> dict[str, str]:
    """Enroot drops names that no shell can hold, and busybox has no program that could set them."""
    odd = {name: value for name, value in ODD.items() if name != "PWD"}
    if runtime.runtime == "enroot":
        odd = {name: value for name, value in odd.items() if re.fullmatch("[A-Z]+", name)}
    return HOSTILE | odd


def world(values: dict[str, str]) -> Json:
    """A pod that looks at all that a container gets of its pod."""
    look = (
        'tr "\\0" "\\1" </proc/self/environ; echo; pwd; cat /etc/config/greeting; '
        "echo no 2>/dev/null >/etc/config/greeting || echo read-only; cat /shared/by-init; "
        "echo again >/dev/stdout; touch /somewhere; exit 3"
    )
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    return pod(
        sh(
            "main",
            look,
            env=[{"name": name, "value": value} for name, value in values.items()],
            workingDir="/var/log",
            volumeMounts=[*mounts, {"name": "config", "mountPath": "/etc/config", "readOnly": True}],
        ),
        {"name": "words", "image": "busybox", "command": ["printf", "%s\\n", *HOSTILE.values()]},
        initContainers=[sh("init", "echo shared >/shared/by-init", volumeMounts=mounts)],
        volumes=[{"name": "shared", "emptyDir": {}}, {"name": "config", "configMap": {"name": "greetings"}}],
    )


def test_a_container_finds_the_world_that_its_pod_describes(runtime: Serving) -> None:
    data = [{"metadata": {"name": "greetings"}, "data": {"greeting": "hello\n"}}]
    wanted = values_for(runtime)
    seen = runtime.vk.create(request(world(wanted), configMaps=data)).until_over()
    environment, *rest = seen.log("main").rpartition("\1\n")[::2]
    found = dict(entry.partition("=")[::2] for entry in environment.split("\1"))
    assert {name: found.get(name) for name in wanted} == wanted, seen.log("main")
    assert "SLURM_JOB_ID" not in found
    assert rest == ["/var/log\nhello\nread-only\nshared\nagain\n"]
    assert seen.exit_code("main") == 3
    assert seen.log("words") == "".join(f"{value}\n" for value in HOSTILE.values()).replace("$$", "$")


def test_a_stopped_container_can_handle_the_signal(runtime: Serving) -> None:
    polite = sh("polite", 'trap "echo goodbye; exit 0" TERM; echo up; while :; do sleep 0.1; done')
    running = runtime.vk.create(request(pod(polite))).until_running("polite")
    running.until_true(lambda: "up" in running.log("polite"), "it listens")
    with runtime.client.follow(running.pod, "polite") as follower:
        running.delete()
        assert follower.rest().endswith("goodbye\n")
    runtime.until_gone(running.pod)


def test_a_container_that_does_not_stop_is_killed_and_nothing_is_left(runtime: Serving) -> None:
    seconds = any_seconds()
    stubborn = sh("stubborn", f'trap "" TERM; echo up; while :; do sleep {seconds}; done')
    running = runtime.vk.create(request(pod(stubborn, terminationGracePeriodSeconds=1))).until_running("stubborn")
    running.until_true(lambda: "up" in running.log("stubborn"), "it listens")
    running.delete()
    runtime.until_gone(running.pod)
    wait_until(lambda: not sleeping(runtime, seconds), "none of its processes is left")


def test_a_job_that_is_killed_at_once_leaves_no_container(runtime: Serving) -> None:
    seconds = any_seconds()
    running = runtime.vk.create(request(pod(sh("c", f"sleep {seconds}")))).until_running("c")
    runtime.site.exec(f"scancel {running.job}")
    wait_until(lambda: not sleeping(runtime, seconds), "the container has ended")
    running.delete()
    runtime.until_gone(running.pod)


def test_an_image_that_is_not_there_fails_the_pod_with_the_runtimes_words(runtime: Serving) -> None:
    none = runtime.vk.create(request(pod(sh("c", "true", image="no-such-image")))).until_over()
    assert none.phase == "Failed"
    assert "no-such-image cannot be used" in none.terminated("c")["message"]


@with_stand_in
def test_enroot_pulls_with_the_login_of_the_pod_and_runs_the_entry_point(shared: Shared) -> None:
    """Podman's pulls are in test_images.py, at a registry."""
    enroot = shared("enroot")
    uri = "docker://r.example.org:5000/private/app:1"
    a_pod = pod({"name": "c", "image": uri, "args": ["a", "b c"]}, sh("d", "echo $ENV", image=uri, env=env("its own")))
    without = enroot.vk.create(request(a_pod)).until_over()
    assert "401 Unauthorized" in without.terminated("c")["message"]
    a_pod = pod(*a_pod["spec"]["containers"], imagePullSecrets=[{"name": "mine"}])
    a_pod["metadata"]["annotations"]["slurm-job.vk.io/enroot-mounts"] = "/etc/hostname:/node:none:x-create=file,rbind"
    with_login = enroot.vk.create(request(a_pod)).until_over()
    assert with_login.phase == "Succeeded", with_login.log("c")
    assert with_login.log("c") == "entry point: a b c\n"
    assert with_login.log("d") == "its own\n"


def test_an_example_runs_at_the_example_site_with_enroot(shared: Shared) -> None:
    example = create_request(read_documents(EXAMPLES / "hello-pod.yaml"))
    assert shared("enroot").vk.create(example).until_over().log("hello").endswith("step 5 of 5\ndone\n")


def test_enroot_containers_of_one_name_belong_to_their_jobs(shared: Shared) -> None:
    """All pods of this sidecar have one ENROOT_DATA_PATH."""
    enroot = shared("enroot")
    first = enroot.vk.create(request(pod(sh("c", "touch /mine; while [ -e /mine ]; do sleep 0.2; done; exit 3"))))
    first.until_running("c")
    second = enroot.vk.create(request(pod(sh("c", "[ ! -e /mine ]")))).until_over()
    assert second.phase == "Succeeded"
    assert first.poll() == "Running"
    data = f"{ENROOT_FOLDER}/data"
    wait_until(lambda: enroot.site.exec(f"ls {data}") == f"remote-slurm-{first.job}\n", "all others' are gone")
    first.delete()
    enroot.until_gone(first.pod)
    wait_until(lambda: enroot.site.exec(f"ls {data}") == "", "it is gone with its job")


@with_stand_in
def test_enroots_containers_know_which_gpus_are_their_jobs(shared: Shared) -> None:
    limits = {"limits": {"nvidia.com/gpu": "2", "memory": "50Mi"}}
    shown = shared("enroot").vk.create(request(pod(sh("c", "env", resources=limits), sh("d", "env")))).until_over()
    assert re.search(r"^CUDA_VISIBLE_DEVICES=\d,\d$", shown.log("c"), re.MULTILINE)
    assert "NVIDIA_VISIBLE_DEVICES=all" in shown.log("c").splitlines()
    assert "DEVICES" not in shown.log("d")


# As the account itself would; in its own storage
OWN = """\
export HOME=/home/hpcuser XDG_RUNTIME_DIR=/tmp/own-{name} && mkdir -p "$XDG_RUNTIME_DIR" && cd "$HOME"
podman() {{
    command podman --storage-opt=overlay.ignore_chown_errors=true --cgroup-manager=cgroupfs "$@"
}}
"""


def as_account(site: Site, name: str, script: str) -> str:
    text = shlex.quote(f"{OWN.format(name=name)}{script}")
    return site.exec(f"setpriv --reuid hpcuser --regid hpcuser --clear-groups bash -c {text}")


def test_a_podman_container_of_the_accounts_own_survives_the_ends_of_jobs(shared: Shared) -> None:
    podman, name, seconds = shared("podman"), f"own-{os.getpid()}", any_seconds()
    start = (
        f"tar -C /srv/images/busybox -c . | podman import --quiet - {name} && podman run --detach --name={name} "
        f"--cgroups=disabled --network=host --user=0:0 --security-opt=label=disable --log-driver=none {name} sleep 3600"
    )
    as_account(podman.site, name, start)
    try:
        ended = podman.vk.create(request(pod(sh("c", "exit 3"))))
        killed = podman.vk.create(request(pod(sh("c", f"sleep {seconds}")))).until_running("c")
        podman.site.exec(f"scancel {killed.job}")
        assert ended.until_over().exit_code("c") == 3
        wait_until(lambda: not sleeping(podman, seconds), "the killed one has ended")
        state = as_account(podman.site, name, f"podman container inspect --format '{{{{.State.Running}}}}' {name}")
        assert state == "true\n"
    finally:
        as_account(podman.site, name, f"podman rm --force --time 0 {name}; podman rmi --force {name}")


def test_files_of_other_users_in_podman_go_with_their_pod(shared: Shared) -> None:
    """They belong to one of the account's subordinate ids, and the account alone may not even look into its folders."""
    podman = shared("podman")
    give = "for each in disk memory here; do mkdir -p /$each/to/1 && chown -R 9:9 /$each && chmod 700 /$each/to; done"
    mounts = [{"name": name, "mountPath": f"/{name}/to"} for name in ("disk", "memory")]
    volumes = [{"name": "disk", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}]

    def giving(then: str) -> Json:
        return request(pod(sh("c", f"{give}; {then}", volumeMounts=mounts), volumes=volumes))

    killed = podman.vk.create(giving("echo given; sleep 600")).until_running("c")
    ended = podman.vk.create(giving("exit 3"))
    killed.until_true(lambda: killed.log("c") == "given\n", "it gave them")
    # not by scancel, which may signal TERM first, and then the runner gives them back
    podman.site.exec(f"pkill -KILL -f 'slurmd/job0*{killed.job}/slurm_script'")
    killed.until_over()
    assert ended.until_over().exit_code("c") == 3
    podman.until_jobs(ended.pod, "FAILED")
    theirs = "find {0}/{1}/volumes -mindepth 1 ! -user hpcuser"
    assert podman.site.exec(theirs.format(podman.root, key(ended.pod))) == "", "they are given back"
    assert podman.site.exec(f"ls -d /dev/shm/remote-slurm-{ended.job}-* 2>/dev/null || true") == ""
    assert podman.site.exec(theirs.format(podman.root, key(killed.pod))) != "", "nobody could give them back"
    for each in (ended, killed):
        each.delete()
        podman.until_gone(each.pod)


def test_a_probe_that_takes_too_long_is_killed_in_its_container(runtime: Serving) -> None:
    """Where it would stay, one more in each period: podman only ends its own client."""
    hang = f"sleep {uuid.uuid4().int % 10**9 + 10**9}"
    command = ["/bin/sh", "-c", f"echo >>/work/probes; exec {hang}"]
    slow = {"exec": {"command": command}, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 1}
    four = "[ -e /work/probes ] && [ $(wc -l </work/probes) -ge 4 ]"
    script = f"until {four}; do sleep 0.1; done; echo four; exec sleep 600"
    work = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    a_pod = pod(sh("c", script, readinessProbe=slow, **work), volumes=[{"name": "work", "emptyDir": {}}])
    a_pod["spec"]["terminationGracePeriodSeconds"] = 0  # Podman's is process 1, which SIGTERM does not end
    probed = runtime.vk.create(request(a_pod))
    probed.until_true(lambda: "took longer than 2 s" in str(probed.state("c")), "it says why it is not ready")
    wait_until(lambda: probed.log("c") == "four\n", "four probes have begun", 90)
    hanging = f"pgrep -xf '{hang}' || true"
    wait_until(lambda: len(runtime.site.exec(hanging).split()) <= 1, "no more than one of them runs")
    probed.delete()
    runtime.until_gone(probed.pod)


def env(value: str) -> list[Json]:
    return [{"name": "ENV", "value": value}]


def test_hooks_restarts_and_last_words(runtime: Serving) -> None:
    """A hook and a probe see the container's own /tmp and variables, also in the second run."""
    look = {
        "exec": {"command": ["/bin/sh", "-c", "until [ -e /tmp/mine ]; do sleep 0.1; done; echo by $WHO >/tmp/theirs"]}
    }
    ready = {"exec": {"command": ["/bin/sh", "-c", "[ -s /tmp/theirs ]"]}, "periodSeconds": 1, "timeoutSeconds": 60}
    script = (
        "touch /tmp/mine; until [ -s /tmp/theirs ]; do sleep 0.1; done; echo run >>/work/runs; cat /tmp/theirs; "
        "[ $(wc -l </work/runs) -ge 2 ] || { echo last words >$MESSAGE; exit 3; }"
    )
    container = sh(
        "c",
        script,
        env=[{"name": "WHO", "value": "it's me"}, {"name": "MESSAGE", "value": "/mnt/message"}],
        lifecycle={"postStart": look},
        readinessProbe=ready,
        terminationMessagePath="/mnt/message",
        volumeMounts=[{"name": "work", "mountPath": "/work"}],
    )
    again = runtime.vk.create(
        request(pod(container, volumes=[{"name": "work", "emptyDir": {}}], restartPolicy="OnFailure"))
    ).until_over()
    assert again.phase == "Succeeded"
    assert again.log("c") == "by it's me\n"
    assert again.status
    last = again.status["containers"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["message"]) == (3, "last words")


@pytest.mark.parametrize("runtime", ["apptainer", "none", *RUNTIMES])
def test_a_program_that_cannot_be_started_has_a_start_error(shared: Shared, runtime: str) -> None:
    """A shell that cannot start a program is one that was started."""
    served = shared(runtime)
    commands = [["no-such-command"], ["/etc/passwd"], ["sh", "-c", "no-such-command"], ["sh", "-c", "exit 255"]]
    containers = [{"name": f"c{i}", "image": "busybox", "command": each} for i, each in enumerate(commands)]
    none = served.vk.create(request(pod(*containers))).until_over()
    ended = [none.terminated(each["name"]) for each in containers]
    assert [(each["exitCode"], each["reason"]) for each in ended] == [
        (128, "StartError"), (128, "StartError"), (127, "Error"), (255, "Error")
    ]  # fmt: skip
    for index, words in enumerate(
        ("no-such-command", "/etc/passwd" if runtime != "apptainer" else "permission denied")
    ):
        assert words in ended[index]["message"], ended[index]


WRITES = """\
for each in /file /etc/file /tmp/file /mnt/new/file /dev/shm/file /missing/dir/file; do
    touch $each 2>/dev/null && echo $each
done; pwd
"""


@pytest.mark.parametrize("runtime", ["apptainer", *RUNTIMES])
def test_a_read_only_root_has_writable_volumes_and_shm(shared: Shared, runtime: str) -> None:
    """Enroot has the /tmp of the node."""
    served = shared(runtime)
    mounts = [{"name": "work", "mountPath": "/mnt/new"}]
    context = {"readOnlyRootFilesystem": True}
    first, second = (sh(name, WRITES, securityContext=context, volumeMounts=mounts) for name in ("a", "b"))
    seen = served.vk.create(request(pod(first, second, volumes=[{"name": "work", "emptyDir": {}}]))).until_over()
    writable = [*(["/tmp/file"] if runtime == "enroot" else []), "/mnt/new/file", "/dev/shm/file"]
    assert [seen.log(name).splitlines()[:-1] for name in ("a", "b")] == [writable, writable]
    assert "readOnlyRootFilesystem" not in served.sidecar.log
