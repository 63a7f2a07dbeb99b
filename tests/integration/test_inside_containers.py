"""What a container finds inside: one pod for each runtime, for image folders and SIF files, for both SHARED_FS.

The inputs are those of public reports; each container of the pod is one of them.
"""

import re
import shlex
import uuid

import pytest

from tests.pods import Json, key, literal, pod, request, sh
from tests.runtimes import Shared
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site
from tests.vk import Watched

pytestmark = pytest.mark.xdist_group("inside_containers")  # its pods run once, side by side

# What a kind is called here -> ContainerRuntime, image, SHARED_FS
KINDS = {
    "folder": ("apptainer", "busybox", True),
    "sif": ("apptainer", "busybox.sif", True),
    "podman": ("podman", "busybox", True),
    "enroot": ("enroot", "busybox", True),
    "none": ("none", "busybox", True),
    "apart": ("apptainer", "busybox", False),
    "podman-apart": ("podman", "busybox", False),
}

# Each code point below U+0100, and some above that programs take for the end of a line, a byte order or an error
VALUES = {
    "LINES": "one\r\ntwo\r\n",
    "CONTROL": "price 5\u0080",
    **{f"U{start:04X}": "".join(map(chr, range(start or 1, start + 32))) for start in range(0, 256, 32)},
    **{f"ONE{code:02X}": chr(code) for code in range(1, 256)},
    "ABOVE": "\u0100\u07ff\u0800\u2028\u2029\ud7ff\ue000\ufeff\ufffd\uffff\U00010000\U0001f4a9\U0010ffff",
    "MARK": "\ufeffbom",
}

ALL = "".join(each for name, each in VALUES.items() if not name.startswith("ONE"))


def value_of(name: str, **source: Json) -> Json:
    return {"name": name, "valueFrom": source}


JOB_VALUES = [
    value_of("CPUS", resourceFieldRef={"resource": "limits.cpu"}),
    value_of("MEMORY", resourceFieldRef={"resource": "limits.memory"}),
    value_of("POD", fieldRef={"fieldPath": "status.podIP"}),
    value_of("NODE", fieldRef={"fieldPath": "status.hostIP"}),
    {"name": "URL", "value": "http://$(POD):80/"},
]
NEW_DIR = "/tmp/foo/bar"
WORK = "pwd; echo own >file; cat file"
NAMESPACE = "ls -l /proc/self/ns/ipc | sed 's/.*-> //'"
HOST = """\
echo "variable: ${HOSTNAME-unset}"
echo "program: $(hostname)"
echo "known: $(grep -c worker-3 /etc/hosts)"
echo "alias: $(grep alias /etc/hosts)"
echo "zone: $(date +%z)"
echo "zone file: $(tail -c 4 /etc/localtime | tr -d '\\0')"
echo "cpus: $CPUS"
echo "memory: $MEMORY"
echo "mib: $(cat /pod/mib)"
echo "pod: $POD"
echo "node: $NODE"
echo "url: $URL"
"""


def inputs(image: str, runtime: str) -> Json:
    a_pod = pod(name="worker-3", hostAliases=[{"ip": "10.9.8.7", "hostnames": ["alias.example.org", "alias"]}])
    folder = f"/tmp/out-{a_pod['metadata']['uid']}"
    memory = f"/dev/shm/{a_pod['metadata']['uid']}"
    mounts = [{"name": "out", "mountPath": folder}]
    umask = f"umask >{folder}/{{0}}; cat {folder}/{{0}}"
    hook = {"exec": {"command": ["/bin/sh", "-c", f'printf %s "$0" >{folder}/words; {umask.format("hook")}', ALL]}}
    wait = f"until [ -s {folder}/hook ]; do sleep 0.1; done; stat -c %a {folder} {folder}/init {folder}/hook"
    env = [{"name": name, "value": value} for name, value in VALUES.items()]
    if runtime != "enroot":  # which needs a perl in the image for such a name
        env.append(value_of("odd.name", fieldRef={"fieldPath": "status.podIP"}))
    items = [
        {"path": "mib", "resourceFieldRef": {"containerName": "host", "resource": "limits.memory", "divisor": "1Mi"}}
    ]
    a_pod["spec"] |= {
        "volumes": [
            {"name": "pod", "downwardAPI": {"items": items}},
            {"name": "out", "hostPath": {"path": folder, "type": "DirectoryOrCreate"}},
        ],
        "initContainers": [sh("init-umask", umask.format("init"), volumeMounts=mounts)],
        "containers": [
            sh("umask", f"umask; {wait}", volumeMounts=mounts, lifecycle={"postStart": hook}),
            sh(
                "host",
                HOST,
                env=[*JOB_VALUES, *env[:2]],
                volumeMounts=[{"name": "pod", "mountPath": "/pod", "subPath": "."}],
            ),
            sh(
                "memory",
                f"{WORK}; until [ -s {memory} ]; do sleep 0.1; done; cat {memory}; {NAMESPACE}",
                workingDir=f"/tmp/no/../{NEW_DIR[5:]}/.",
            ),
            sh(
                "memory-too",
                f"{WORK}; echo 42 >{memory}-new; mv {memory}-new {memory}; {NAMESPACE}",
                workingDir=f"{folder}/a/b",
                volumeMounts=mounts,
            ),
            {"name": "words", "image": image, "command": ["printf", "%s\\0", literal(ALL)], "args": [*VALUES.values()]},
            sh(
                "hook-words", f"until [ -s {folder}/hook ]; do sleep 0.1; done; cat {folder}/words", volumeMounts=mounts
            ),
            {"name": "env", "image": image, "command": ["cat", "/proc/self/environ"], "env": env},
        ],
    }
    for each in (*a_pod["spec"]["initContainers"], *a_pod["spec"]["containers"]):
        each["image"] = image
    return a_pod


@pytest.fixture(scope="module")
def running(shared: Shared) -> dict[str, tuple[Serving, Watched]]:
    """All of them at once."""
    found = {}
    for kind, (runtime, image, shared_fs) in KINDS.items():
        served = shared(runtime if shared_fs else f"{runtime} apart")
        found[kind] = (served, served.vk.create(request(inputs(image, runtime))))
    return found


@pytest.fixture(params=["apptainer", "podman", "enroot"])
def runtime(shared: Shared, request: pytest.FixtureRequest) -> Serving:
    return shared(request.param)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def seen(running: dict[str, tuple[Serving, Watched]], kind: str) -> Watched:
    """The pod of one kind, once it has ended."""
    _, watched = running[kind]
    return watched.until_over()


def test_files_have_the_modes_that_every_container_runtime_gives(seen: Watched) -> None:
    assert seen.log("init-umask") == "0022\n"
    assert seen.log("umask") == "0022\n755\n644\n644\n"


def test_the_values_of_variables_arrive_byte_for_byte(seen: Watched) -> None:
    found = dict(entry.partition("=")[::2] for entry in seen.log("env").split("\0"))
    assert {name: found.get(name) for name in VALUES} == VALUES


def test_the_words_of_commands_and_hooks_arrive_byte_for_byte(seen: Watched) -> None:
    assert seen.log("words").split("\0")[:-1] == [ALL, *VALUES.values()]
    assert seen.log("hook-words") == ALL


def of_host(seen: Watched) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in seen.log("host").splitlines() if ": " in line)


def test_the_host_name_is_the_pods_and_host_aliases_are_known(seen: Watched, kind: str) -> None:
    host = of_host(seen)
    assert host["variable"] == "worker-3"
    if kind not in ("none", "enroot"):
        assert host["program"] == "worker-3"
    if kind != "none":
        assert (host["known"], host["alias"]) == ("1", "10.9.8.7\talias.example.org\talias")


def test_the_time_zone_is_utc_and_not_the_nodes(seen: Watched, kind: str) -> None:
    assert of_host(seen)["zone"] == "+0000"
    assert of_host(seen)["zone file"] == ("" if kind.startswith("podman") else "UTC") or kind == "none"


def test_the_job_fills_in_what_only_the_job_knows(seen: Watched, kind: str) -> None:
    host = of_host(seen)
    assert (host["cpus"], host["memory"]) == ("1", str(10 << 20))
    assert host["mib"] == "10" or kind == "none"
    address = host["pod"]
    assert re.fullmatch(r"[0-9a-f.:]+", address)
    assert (host["node"], host["url"]) == (address, f"http://{address}:80/")
    assert kind == "enroot" or f"odd.name={address}" in seen.log("env").split("\0")


def test_shared_memory_is_the_pods(served24: Serving, seen: Watched, kind: str) -> None:
    content, namespace = seen.log("memory").splitlines()[-2:]
    assert content == "42"
    assert seen.log("memory-too").endswith(f"\n{namespace}\n")
    nodes = served24.site.exec("readlink /proc/self/ns/ipc").strip()
    assert (namespace == nodes) == (kind in ("enroot", "none"))
    if kind != "none":
        assert served24.site.exec(f"ls /dev/shm/{seen.pod['metadata']['uid']} 2>/dev/null || true") == ""
        wait_until(lambda: not served24.site.exec(f"ls -d /dev/shm/*-{seen.job}-* 2>/dev/null || true"), "it is gone")


@pytest.mark.parametrize("runtime", ["apptainer", "podman"])
def test_the_size_limit_of_an_empty_dir_at_dev_shm_holds(shared: Shared, runtime: str) -> None:
    mounts = [{"name": "shm", "mountPath": "/dev/shm"}]
    fill = "head -c 3000000 /dev/zero >/dev/shm/much; exec sleep 600"
    look = "until [ -e /dev/shm/much ]; do sleep 0.1; done; echo seen; exec sleep 600"
    volumes = [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    two = pod(sh("c", fill, volumeMounts=mounts), sh("d", look, volumeMounts=mounts), volumes=volumes)
    two["spec"]["terminationGracePeriodSeconds"] = 0  # Podman's are process 1, which SIGTERM does not end
    evicted = shared(runtime).vk.create(request(two)).until_over()
    assert evicted.log("d") == "seen\n"
    assert "more than its sizeLimit of 1048576: the pod was evicted" in evicted.terminated("c")["message"]


def test_a_working_directory_that_does_not_exist_is_made(seen: Watched) -> None:
    assert seen.log("memory").splitlines()[:-2] == [NEW_DIR, "own"]
    assert seen.log("memory-too").splitlines()[:-1] == [f"/tmp/out-{seen.pod['metadata']['uid']}/a/b", "own"]


def test_a_missing_working_directory_is_made_for_each_run(runtime: Serving) -> None:
    again = sh("c", "pwd; ls; touch file; [ -e /work/ran ] || { touch /work/ran; exit 1; }", workingDir="/foo/bar")
    again["volumeMounts"] = [{"name": "work", "mountPath": "/work"}]
    hook = {"exec": {"command": ["/bin/sh", "-c", "pwd >/work/hook"]}}
    hooked = sh("d", "until [ -s /work/hook ]; do sleep 0.1; done; cat /work/hook", workingDir="/foo/bar")
    hooked |= {"lifecycle": {"postStart": hook}, "volumeMounts": again["volumeMounts"]}
    ran = runtime.vk.create(
        request(pod(again, hooked, volumes=[{"name": "work", "emptyDir": {}}], restartPolicy="OnFailure"))
    )
    assert ran.until_over().phase == "Succeeded"
    kept = "file\n" if runtime.runtime == "enroot" else ""  # the container is one for all runs
    assert ran.log("c") == f"/foo/bar\n{kept}"
    assert ran.log("d") == "/foo/bar\n"


@pytest.mark.parametrize("runtime", ["apptainer", "podman"])
def test_a_pod_that_names_a_user_runs_if_the_configuration_ignores_that(serve: Serve, site: Site, runtime: str) -> None:
    served = serve(site, ContainerRuntime=runtime, RunAsUser="ignore")
    mounts = [{"name": "work", "mountPath": "/work"}]
    look = "id -u; echo own >/work/file; until [ -e /work/hook ]; do sleep 0.1; done; cat /work/hook"
    hook = {"exec": {"command": ["/bin/sh", "-c", "id -u >/work/new; mv /work/new /work/hook"]}}
    two = pod(
        sh("a", look, volumeMounts=mounts, lifecycle={"postStart": hook}),
        sh("b", "until [ -e /work/file ]; do sleep 0.1; done; cat /work/file", volumeMounts=mounts),
        volumes=[{"name": "work", "emptyDir": {}}],
        securityContext={"runAsUser": 1000, "fsGroup": 100},
    )
    ran = served.vk.create(request(two)).until_over()
    uid = "1000" if runtime == "podman" else site.exec("id -u hpcuser").strip()
    assert (ran.phase, ran.log("a"), ran.log("b")) == ("Succeeded", f"{uid}\n{uid}\n", "own\n")
    assert "runAsUser 1000 of container 'a' is ignored" in served.sidecar.log
    files = f"{served.root}/{key(ran.pod)}/volumes/work/file"
    assert site.exec(f"stat -c %U {files}") == "hpcuser\n"


APP = """\
#!/bin/sh
trap 'echo stopped; exit 0' USR1
echo "$PWD $HOME $ODD $*"
while :; do sleep 0.1; done
"""
BUILD = """\
export HOME=/home/hpcuser XDG_RUNTIME_DIR=/tmp/own-{name} && mkdir -p "$XDG_RUNTIME_DIR" && cd "$HOME" || exit
podman() {{
    command podman --storage-opt=overlay.ignore_chown_errors=true --cgroup-manager=cgroupfs "$@"
}}
cp -r /srv/images/busybox {name} && chmod -R u+w {name} && mkdir -p {name}/opt/app
cp {name}.sh {name}/opt/app/app.sh && chmod 755 {name}/opt/app/app.sh
tar -C {name} -c . | podman import --quiet --change 'WORKDIR /opt/app' --change 'ENV HOME=/opt' \\
    --change 'ENV ODD="`date` $(date) ${{PATH}}"' --change 'STOPSIGNAL SIGUSR1' \\
    --change 'ENTRYPOINT ["./app.sh", "a b"]' --change 'CMD ["c"]' - {name}
podman save --quiet --format oci-archive --output {name}.oci.tar {name}
podman rmi --force {name}
apptainer --silent build {name}.sif oci-archive:{name}.oci.tar
"""


@pytest.mark.parametrize(("runtime", "suffix"), [("apptainer", ".sif"), ("podman", ".oci.tar")])
def test_a_container_is_what_the_configuration_of_its_image_says(
    shared: Shared, site: Site, runtime: str, suffix: str
) -> None:
    name = f"configured-{uuid.uuid4().hex[:8]}"
    site.write(f"/home/hpcuser/{name}.sh", APP)
    as_account = "setpriv --reuid hpcuser --regid hpcuser --clear-groups"
    site.exec(f"{as_account} bash -c {shlex.quote(BUILD.format(name=name))}")
    served = shared(runtime)
    image = f"/home/hpcuser/{name}{suffix}"
    running = served.vk.create(request(pod({"name": "c", "image": image}))).until_running("c")
    running.until_true(lambda: bool(running.log("c")), "it has begun")
    assert running.log("c") == "/opt/app /opt `date` $(date) ${PATH} a b c\n"
    with served.client.follow(running.pod, "c") as follower:
        running.delete()
        assert follower.rest().endswith("stopped\n")
    served.until_gone(running.pod)
