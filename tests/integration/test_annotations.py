"""What annotations ask for, on a real site: all pods run side by side, and each test looks at its own."""

from typing import Any

import pytest

from tests.pods import Json, key, pod, request, sh
from tests.serving import Serve, Serving
from tests.sites import Site
from tests.vk import Watched, of

pytestmark = pytest.mark.xdist_group("annotations")  # its pods run once, side by side

OURS, OLD, MESH = "slurm-job.vk.io/", "slurm-job.knoc.io/", "interlink.eu/"


def annotated(*containers: Json, annotations: dict[str, str], **spec: Any) -> Json:
    a_pod = pod(*containers, **spec)
    a_pod["metadata"]["annotations"] |= annotations
    return a_pod


# As the Virtual Kubelet writes it (interLink 0.6), but for the programs that it downloads and the routes that they make
MESH_SCRIPT = """cat <<'EOFMESH' > $TMPDIR/mesh.sh
#!/bin/bash
set -e
set -m
TMPDIR=${SLIRP_TMPDIR:-/tmp/.slirp.$RANDOM$RANDOM}
mkdir -p $TMPDIR
cd $TMPDIR
cat <<'EOFSLIRP' > $TMPDIR/slirp.sh
#!/bin/bash
set -euo pipefail
mount --make-rprivate / 2>/dev/null || true
$@
EOFSLIRP
chmod +x $TMPDIR/slirp.sh
unshare --user --map-root-user --net --mount $TMPDIR/slirp.sh "$@" &
fg 1

EOFMESH
"""

JOB_SCRIPT = """#!/bin/bash
echo "the script runs in $workingPath"
echo "for other" >"$workingPath/run-other.out"
echo 4 >"$workingPath/run-other.status"
"""


@pytest.fixture(scope="module")
def pods() -> dict[str, Json]:
    """Name -> the body of create."""
    greet = {OURS + "pre-exec": 'export APPTAINERENV_GREETING="it\'s me"; ulimit -n 99', MESH + "pod-ip": "10.7.0.2"}
    tunnel = {
        MESH + "wstunnel-client-commands": "echo tunnel >&2; sleep 300 &",
        OURS + "pre-exec": "echo own; cat $WIREGUARD_CONFIG",
        MESH + "wireguard-client-snippet": "[Interface]\nAddress = 10.7.0.2/32\n",
    }
    options = {
        OLD + "singularity-options": "--env OPTION='a $HOME b'",
        OURS + "singularity-mounts": "/etc/hostname:/node/name:ro",
        OURS + "singularity-commands": "echo before $(nice); nice -n 5",
        OURS + "image-root": "/srv/images/busy",
    }
    interfaces = "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"
    bodies = {
        "greeted": annotated(sh("c", 'echo "$GREETING" $(ulimit -n) "$POD_IP"'), annotations=greet),
        "tunnelled": annotated(sh("c", "true"), annotations=tunnel),
        "refusing": annotated(sh("c", "true"), annotations={OURS + "pre-exec": "echo no licence; exit 4"}),
        "meshed": annotated(
            sh("c", interfaces), sh("bad", "exit 3"), annotations={OURS + "pre-exec": MESH_SCRIPT + "export A=1\n"}
        ),
        "optioned": annotated(
            sh("c", 'echo "$OPTION"; cat /node/name; cut -d" " -f19 /proc/self/stat; exit 3', image="box"),
            annotations=options,
        ),
        "absolute": annotated(sh("c", "true", image="/srv/images/busybox.sif"), annotations=options),
        "parallel": annotated(
            {"name": "c", "image": "busybox", "command": ["/usr/local/bin/ring"]},
            annotations={OURS + "mpi-flags": "-prepend-rank", OURS + "singularity-mounts": "/usr /lib /lib64"},
            flags="--ntasks=4",
            initContainers=[sh("i", "echo once")],
        ),
        "placed": annotated(
            sh("c", "echo kept > /data/file; pwd", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            annotations={OURS + "job-workdir": "/tmp/work folder"},
            volumes=[{"name": "data", "emptyDir": {}}],
        ),
        "late": pod(sh("c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"), activeDeadlineSeconds=10),
    }
    scripted = pod(sh("main", "echo no"), sh("other", "echo no"), initContainers=[sh("i", "exit 1")])
    requests = {name: request(body) for name, body in bodies.items()}
    return requests | {"scripted": request(scripted) | {"jobScript": JOB_SCRIPT}}


@pytest.fixture(scope="module")
def running(pods: dict[str, Json], site: Site, _sharing: Any) -> dict[str, Watched]:
    served = _sharing(site)
    return {name: served.vk.create(body) for name, body in pods.items()}


@of("greeted")
def test_pre_exec_runs_before_the_containers_in_their_job(over: Watched) -> None:
    assert over.phase == "Succeeded", over.log("c")
    assert over.log("c") == "it's me 99 10.7.0.2\n"


@of("tunnelled")
def test_a_tunnels_commands_come_before_it_and_do_not_keep_the_job(over: Watched, served24: Serving) -> None:
    assert over.phase == "Succeeded"
    output = served24.site.exec(f"cat {served24.root}/{key(over.pod)}/job-*.out")
    assert output == "tunnel\nown\n[Interface]\nAddress = 10.7.0.2/32\n"


@of("refusing")
def test_a_pre_exec_that_ends_itself_fails_the_pod_and_says_so(over: Watched) -> None:
    assert over.phase == "Failed"
    assert over.terminated("c")["message"] == "not started: pre-exec ended the job with exit code 4"
    assert "no licence" in over.log("c")


@of("meshed")
def test_containers_run_in_the_network_that_the_mesh_script_makes(over: Watched) -> None:
    assert over.phase == "Failed"
    assert over.log("c") == "lo\n", "and nothing of the node's"
    assert (over.exit_code("c"), over.exit_code("bad")) == (0, 3)


@of("optioned")
def test_options_mounts_commands_and_the_images_root(over: Watched, served24: Serving) -> None:
    name = served24.site.exec("hostname").strip()
    before, *words, inside = over.log("c").splitlines()
    assert words == ["a $HOME b", name]
    assert int(inside) == int(before.removeprefix("before ")) + 5
    assert over.exit_code("c") == 3


@of("absolute")
def test_an_absolute_path_is_the_image(over: Watched) -> None:
    assert over.phase == "Succeeded", over.log("c")


@of("parallel")
def test_mpi_flags_put_mpiexec_in_front_of_the_container(over: Watched) -> None:
    assert over.phase == "Succeeded", over.log("c")
    assert sorted(over.log("c").splitlines()) == [
        f"[{rank}] rank {rank} of 4, all ranks together are 6" for rank in range(4)
    ]
    assert over.log("i") == "once\n"


@of("placed")
def test_a_job_workdir_holds_what_the_pod_writes_until_the_pod_is_deleted(over: Watched, served24: Serving) -> None:
    assert over.phase == "Succeeded", over.log("c")
    folder = f"/tmp/work folder/{key(over.pod)}"
    assert served24.site.exec(f"cat '{folder}/data/file'") == "kept\n"
    over.delete()
    served24.until_gone(over.pod)
    assert served24.site.exec(f"ls '{folder}' 2>/dev/null || true") == ""


@of("late")
def test_a_deadline_is_kept_to_the_second(over: Watched, served24: Serving) -> None:
    assert over.phase == "Failed"
    assert over.exit_code("c") == 143
    assert over.terminated("c")["message"].startswith("DeadlineExceeded: the pod was active for longer than")
    served24.until_jobs(over.pod, "FAILED")


@of("scripted")
def test_a_script_of_the_request_runs_in_place_of_all_containers(over: Watched) -> None:
    assert [over.exit_code(name) for name in ("i", "main", "other")] == [0, 0, 4]
    assert over.log("main").startswith("the script runs in /")
    assert over.log("other") == "for other\n"


def test_a_pod_runs_as_the_account_only(serve: Serve, site: Site) -> None:
    uid = int(site.exec("id -u hpcuser"))
    served = serve(site, DefaultUID=uid)
    own = served.vk.create(request(pod(sh("c", "id -u"))))
    refused = served.vk.refused(request(pod(sh("c", "true"), securityContext={"runAsUser": 0})))
    assert refused.status == 400
    assert "invalid user id 0 of pod" in refused.text
    assert f"whose user id is {uid}" in refused.text
    assert own.until_over().log("c") == f"{uid}\n"
