"""DataRootFolder by its configured path: a link on one side of the site, and a mount on the other."""

import uuid
from collections.abc import Iterator

import pytest

from tests.pods import Json, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site
from tests.vk import Watched

# What a command on the node begins with: the node's own mounts
ON_NODE = "nsenter --mount --target $(cat /run/slurmd.pid) --"
MOUNT = "mkdir -p {base}/data && mount --bind {storage} {base}/data"
LINK = "mkdir -p {base}/x && mount --bind {storage} {base}/x && ln -s x {base}/data"


@pytest.fixture(params=["login", "node"])
def data_root(apart_site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    """A folder that both see by one path, which is a link to another one on the login node, or else on the node."""
    name = uuid.uuid4().hex[:8]
    base, storage = f"/base-{name}", f"/srv/storage-{name}"
    login, node = (LINK, MOUNT) if request.param == "login" else (MOUNT, LINK)
    apart_site.exec(f"install -d -o hpcuser {storage} && mkdir {base} && " + login.format(base=base, storage=storage))
    script = f"mount -t tmpfs -o mode=755 tmpfs {base} && " + node.format(base=base, storage=storage)
    apart_site.exec(f"{ON_NODE} bash -euc '{script}'")
    yield f"{base}/data/jobs"
    apart_site.exec(
        f"{ON_NODE} umount -l --recursive {base}; for each in {base}/*; do umount -l $each || true; done; "
        f"rm -rf {base} {storage}"
    )


def a_pod() -> Json:
    hook = {"postStart": {"exec": {"command": ["/bin/sh", "-c", "echo hook >/work/hook"]}}}
    mounts = [{"name": "work", "mountPath": "/work"}, {"name": "settings", "mountPath": "/settings", "subPath": "a"}]
    script = "until [ -e /work/hook ]; do sleep 0.1; done; cat /settings /work/hook; exec sleep 600"
    volumes = [{"name": "work", "emptyDir": {}}, {"name": "settings", "configMap": {"name": "settings"}}]
    return pod(
        sh("main", script, volumeMounts=mounts, lifecycle=hook),
        volumes=volumes,
        initContainers=[sh("first", "echo one; cat /settings", volumeMounts=mounts)],
        terminationGracePeriodSeconds=1,
    )


def created(served: Serving) -> Watched:
    configmaps = [{"metadata": {"name": "settings"}, "data": {"a": "greeting\n"}}]
    return served.vk.create(request(a_pod(), configMaps=configmaps))


def test_a_data_root_that_is_a_link_on_one_side_runs_pods(apart_site: Site, serve: Serve, data_root: str) -> None:
    sidecars = [
        serve(apart_site, DataRootFolder=f"{data_root}/{runtime}", ContainerRuntime=runtime)
        for runtime in ("singularity", "podman")
    ]
    pods = [created(served) for served in sidecars]
    for watched in pods:
        watched.until_running("main")
        wait_until(lambda watched=watched: watched.log("main") == "greeting\nhook\n", "the log is there")
        assert watched.log("first") == "one\ngreeting\n"
        watched.delete()
    for served, watched in zip(sidecars, pods, strict=True):
        served.until_gone(watched.pod)
