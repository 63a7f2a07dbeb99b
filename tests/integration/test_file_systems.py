"""File systems that hang, fill up or cannot be written: the pod says so, other pods go on, and nothing is lost."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.pods import Json, pod, request, sh
from tests.registry import Registry
from tests.serving import Serve, Serving, wait_until
from tests.shared_folder import go_on, held, until_up
from tests.sidecar import Answer
from tests.sites import Site
from tests.vk import Watched

Mounted = Callable[[str], str]

# A btrfs of 48 MiB whose subvolume `home` is hpcuser's and may hold 4 MiB (btrfs qgroup limit), compressed twice, since
# neither machines nor sites need have btrfs-progs. Kernels that have no quotas for ext4 or xfs may have these.
QUOTA = Path(__file__).parents[1] / "standins" / "quota.btrfs.gz.gz"


@pytest.fixture
def mounted(site: Site) -> Iterator[Mounted]:
    """Mount something on a folder of hpcuser's, by a command that ends with its path; gone at the end."""
    folders = []

    def mount(command: str) -> str:
        folder = f"/home/hpcuser/fs-{uuid.uuid4().hex[:8]}"
        folders.append(folder)
        site.exec(f"mkdir {folder} && {command} {folder} && chown hpcuser: {folder}")
        return folder

    yield mount
    for folder in folders:
        site.exec(
            f"pkill -CONT -f 'fuse-overlayfs.*{folder}$' || true; umount -l {folder} || true; rmdir {folder} || true"
        )


@pytest.fixture
def fuse(site: Site, mounted: Mounted) -> str:
    """A file system whose every access waits while its process is stopped, as that of a server that is gone."""
    layers = f"/tmp/layers-{uuid.uuid4().hex[:8]}"
    site.exec(f"mkdir -p {layers}/lower {layers}/upper {layers}/work && chown 20001:20001 {layers}/upper")
    options = f"lowerdir={layers}/lower,upperdir={layers}/upper,workdir={layers}/work,allow_other"
    return mounted(f"fuse-overlayfs -o {options}")


def test_a_file_system_that_hangs_ends_no_pod_and_stops_no_other(
    site: Site, serve: Serve, served24: Serving, fuse: str
) -> None:
    hangs = serve(site, DataRootFolder=f"{fuse}/jobs")
    running = until_up(hangs, hangs.vk.create(request(held("exit 3"))))
    cancelled = hangs.vk.create(request(pod(sh("c", "true"), flags="--hold")))
    # The records of a fresh job are read at once. After that the first poll that hangs, for half a minute, is one whose
    # squeue lists the cancelled job: squeue is still called, and its reply is used.
    cancelled.until_true(lambda: "JobHeldUser" in str(cancelled.state("c")), "a poll has listed the job")
    site.exec(f"pkill -STOP -f 'fuse-overlayfs.*{fuse}$'; scancel {cancelled.job}")
    try:
        go_on(hangs, running.pod)
        wait_until(
            lambda: f"job={cancelled.job} state=CANCELLED" in hangs.sidecar.log,
            "it is told",
        )
        assert running.poll() == "Running"
        assert hangs.client.ping()["status"] == "ok"
        assert served24.vk.create(request(pod(sh("c", "exit 4")))).until_over().exit_code("c") == 4
    finally:
        site.exec(f"pkill -CONT -f 'fuse-overlayfs.*{fuse}$'")
    assert running.until_over().exit_code("c") == 3
    assert hangs.vk.create(request(pod(sh("c", "exit 5")))).until_over().exit_code("c") == 5


def test_a_job_workdir_that_hangs_holds_up_its_own_pods_and_no_other(site: Site, serve: Serve, fuse: str) -> None:
    served = serve(site)

    def in_workdir(script: str) -> Json:
        volume = {"name": "d", "emptyDir": {}}
        container = sh("c", script, volumeMounts=[{"name": "d", "mountPath": "/d"}])
        a_pod = pod(container, volumes=[volume], terminationGracePeriodSeconds=0)
        a_pod["metadata"]["annotations"]["slurm-job.vk.io/job-workdir"] = fuse
        return request(a_pod)

    ended = served.vk.create(in_workdir("echo >/d/mine; exit 3")).until_over()
    other = until_up(served, served.vk.create(request(held("true"))))
    site.exec(f"pkill -STOP -f 'fuse-overlayfs.*{fuse}$'")
    try:
        ended.delete()
        waits = served.vk.create(in_workdir("exit 4"))
        other.delete()
        served.until_gone(other.pod)
        assert served.vk.create(request(pod(sh("c", "exit 5")))).until_over().exit_code("c") == 5
        wait_until(lambda: "its file system may hang" in served.sidecar.log, "it is told what hangs")
        assert served.left_of(ended.pod)
    finally:
        site.exec(f"pkill -CONT -f 'fuse-overlayfs.*{fuse}$'")
    served.until_gone(ended.pod)
    assert waits.until_over().exit_code("c") == 4


@contextmanager
def creating(served: Serving) -> Iterator[Future[Answer]]:
    """A create under way: the site answers it with 503 in a minute, and is mended before that."""
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(served.client.create, request(pod(sh("c", "true"))))


def pods_in_ping(served: Serving) -> str:
    answer = served.client.ask("GET", "/status", [])
    return str(json.loads(answer.text)["resources"]["pods"])


@pytest.fixture
def limited(site: Site, mounted: Mounted) -> str:
    """A folder with a quota, on a file system that has room."""
    image, content = f"/tmp/quota-{uuid.uuid4().hex[:8]}", base64.b64encode(QUOTA.read_bytes()).decode()
    devices = (
        "[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237; "
        "for number in $(seq 0 31); do [ -e /dev/loop$number ] || mknod /dev/loop$number b 7 $number; done"
    )
    site.exec(f"echo {content} | base64 -d | gunzip | gunzip | dd conv=sparse bs=64k of={image} 2>/dev/null")
    try:
        return mounted(f"{devices}; mount -t btrfs -o loop,subvol=home {image}")
    except AssertionError as error:
        pytest.skip(f"no file system with a quota can be mounted here: {error}")
    finally:
        site.exec(f"rm {image}")


def test_a_full_quota_ends_no_pod_and_lets_the_next_wait(site: Site, serve: Serve, limited: str) -> None:
    full = serve(site, DataRootFolder=f"{limited}/jobs")
    first = until_up(full, full.vk.create(request(held("exit 3"))))
    filled = site.exec(
        f"dd if=/dev/zero of={limited}/filler bs=64k 2>&1 || df --output=avail -B 1M {limited} | tail -n 1"
    )
    assert "Disk quota exceeded" in filled
    assert int(filled.split()[-1]) > 20  # MiB that the disk has
    with creating(full) as waiting:
        wait_until(lambda: "Disk quota exceeded" in full.sidecar.log, "the pod does not fit")
        wait_until(lambda: pods_in_ping(full) == "0", "the ping has no room for pods")
        go_on(full, first.pod)
        assert first.until_over().exit_code("c") == 3  # its last record had room of its own
        site.exec(f"rm {limited}/filler")
        assert waiting.result().status == 200
    assert full.vk.create(request(pod(sh("c", "exit 4")))).until_over().exit_code("c") == 4


def test_a_full_folder_ends_no_pod_and_lets_the_next_wait(site: Site, serve: Serve, mounted: Mounted) -> None:
    small = mounted("mount -t tmpfs -o size=1m,uid=20001,mode=0700 tmpfs")
    full = serve(site, DataRootFolder=f"{small}/jobs")
    first = until_up(full, full.vk.create(request(held("exit 3"))))
    site.exec(f"dd if=/dev/zero of={small}/filler bs=64k 2>/dev/null || true")
    with creating(full) as waiting:
        wait_until(lambda: "No space left on device" in full.sidecar.log, "the pod does not fit")
        go_on(full, first.pod)
        assert first.until_over().exit_code("c") == 3  # its last record had room of its own
        site.exec(f"rm {small}/filler")
        assert waiting.result().status == 200


def test_a_read_only_folder_holds_up_new_pods_only(site: Site, serve: Serve, mounted: Mounted) -> None:
    folder = mounted("mount -t tmpfs -o uid=20001,mode=0700 tmpfs")
    served = serve(site, DataRootFolder=f"{folder}/jobs")
    waits = served.vk.create(request(pod(sh("c", "exit 3"), flags="--hold")))
    # not while one of its files is being written
    site.exec(f"until mount -o remount,ro {folder} 2>/dev/null; do sleep 0.1; done")
    with creating(served) as waiting:
        try:
            wait_until(lambda: "Read-only file system" in served.sidecar.log, "the pod cannot be stored")
            assert waits.poll() == "Pending"
        finally:
            site.exec(f"mount -o remount,rw {folder}")
        assert waiting.result().status == 200
    site.exec(f"scontrol release {waits.job}")
    assert waits.until_over().exit_code("c") == 3


@pytest.fixture
def registry(site: Site) -> Iterator[Registry]:
    registry = Registry(site.archive("/srv/images/busybox"))
    yield registry
    registry.stop()


@pytest.mark.parametrize("place", ["node", "login"])
def test_a_full_image_cache_fails_only_pods_that_need_it(
    site: Site, serve: Serve, mounted: Mounted, registry: Registry, place: str
) -> None:
    cache = mounted("mount -t tmpfs -o size=64k,uid=20001,mode=0700 tmpfs")
    keys = {"ImagePullRetries": 0, "RuntimeEnvironment": {"APPTAINER_NOHTTPS": "1"}}
    served = serve(site, ImageCacheFolder=cache, ImagePull=place, **keys)
    image = registry.push(f"full/{place}:1", mark=place)
    body = request(pod(sh("c", "true", image=image, imagePullPolicy="IfNotPresent")))
    assert served.client.create(body).status == 200
    assert served.vk.create(request(pod(sh("c", "exit 4")))).until_over().exit_code("c") == 4
    message = Watched(served.client, body["pod"]).until_over().terminated("c")["message"]
    assert f"ErrImagePull: image {image} could not be pulled" in message
    assert "no space left on device" in message
    leftovers = f"find {cache} -maxdepth 1 -name '*.part*' 2>/dev/null || true"
    wait_until(lambda: site.exec(leftovers) == "", "what was begun has left the cache")
