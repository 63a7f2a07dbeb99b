"""Kinds of volumes beyond those of the first payload, as they look from inside containers that run side by side."""

import hashlib
from typing import Any

import pytest

from tests.pods import Json, pod, request, sh
from tests.serving import Serve, Serving, wait_until
from tests.sites import Site
from tests.vk import Watched, of

pytestmark = pytest.mark.xdist_group("volume_kinds")  # its pods run once, side by side

CERTIFICATE = "-----BEGIN-----\nline\ttwo\n\n  blanks  \n-----END-----"


def mounting(script: str, *volumes: Json, **keys: Any) -> Json:
    """A container that mounts each volume at /<name>."""
    mounts = [{"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes]
    return pod(sh("c", script, volumeMounts=mounts), volumes=list(volumes), **keys)


def host(name: str, path: str, kind: str = "") -> Json:
    return {"name": name, "hostPath": {"path": path, "type": kind}}


PODS = {
    "paths": mounting(
        "test -f /file && test -d /folder && test -S /socket && test -d /any && echo x > /made/f && echo y > /new",
        host("file", "/etc/hostname", "File"),
        host("folder", "/etc", "Directory"),
        host("socket", "/tmp/a socket", "Socket"),
        host("any", "/srv"),
        host("made", "/tmp/say/made folder", "DirectoryOrCreate"),
        host("new", "/tmp/say-new", "FileOrCreate"),
    ),
    "wrong": mounting("true", host("v", "/etc/hostname", "Directory")),
    "memory": mounting(
        "grep ' /fast ' /proc/mounts | cut -d' ' -f1; echo x > /fast/f; sleep 1",
        {"name": "fast", "emptyDir": {"medium": "Memory"}},
    ),
    "greedy": mounting(
        "head -c 3000000 /dev/zero > /small/big; exec sleep 600",
        {"name": "small", "emptyDir": {"sizeLimit": "1Mi"}},
    ),
    "projected": mounting(
        "sha256sum < /all/pem; stat -c '%a' /all/pem; cat /all/name; ls /all",
        {
            "name": "all",
            "projected": {
                "defaultMode": 0o440,
                "sources": [
                    {"configMap": {"name": "certificates"}},
                    {"secret": {"name": "absent", "items": [{"key": "k", "path": "k"}]}},
                    {"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
                ],
            },
        },
    ),
    "sub paths": pod(
        sh(
            "c",
            "cat /one; ls /two; echo x > /two/three",
            env=[{"name": "POD", "value": "p-1"}],
            volumeMounts=[
                {"name": "config", "mountPath": "/one", "subPath": "b"},
                {"name": "work", "mountPath": "/two", "subPathExpr": "of $(POD)"},
            ],
        ),
        sh("i", "ls '/work/of p-1'", volumeMounts=[{"name": "work", "mountPath": "/work"}]),
        volumes=[{"name": "config", "configMap": {"name": "certificates"}}, {"name": "work", "emptyDir": {}}],
    ),
}
SENT: dict[str, Json] = {
    "projected": {"projectedvolumemaps": [{"metadata": {"name": "all"}, "data": {"pem": CERTIFICATE}}]},
    "sub paths": {"configMaps": [{"metadata": {"name": "certificates"}, "data": {"a": "1\n", "b": "2\n"}}]},
}


LISTEN = 'socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("/tmp/a socket"))'


@pytest.fixture(scope="module")
def running(site: Site, _sharing: Any) -> dict[str, Watched]:
    served = _sharing(site)
    site.exec(f"perl -MSocket -e '{LISTEN}'")
    return {name: served.vk.create(request(body, **SENT.get(name, {}))) for name, body in PODS.items()}


@of("paths")
def test_host_paths_of_every_type(over: Watched, served24: Serving) -> None:
    assert over.phase == "Succeeded", over.log("c")
    assert served24.site.exec("cat '/tmp/say/made folder/f' /tmp/say-new") == "x\ny\n"


@of("wrong")
def test_a_host_path_of_another_type_fails_the_pod_and_says_so(over: Watched) -> None:
    assert over.phase == "Failed"
    assert "hostPath /etc/hostname is not there as Directory" in over.terminated("c")["message"]


@of("memory")
def test_an_empty_dir_in_memory_is_and_is_gone_with_the_job(over: Watched, served24: Serving) -> None:
    assert over.log("c") == "tmpfs\n"
    left = f"ls /dev/shm | grep 'remote-slurm-{over.job}-' || true"
    wait_until(lambda: served24.site.exec(left) == "", "it is gone with the job")


@of("greedy")
def test_a_pod_whose_empty_dir_grows_beyond_its_limit_is_evicted(over: Watched) -> None:
    assert over.phase == "Failed"
    assert over.exit_code("c") != 0
    assert "more than its sizeLimit of 1048576: the pod was evicted" in over.terminated("c")["message"]


@of("projected")
def test_a_projected_volume_byte_for_byte_and_what_it_lacks(over: Watched, served24: Serving) -> None:
    digest = hashlib.sha256(CERTIFICATE.encode()).hexdigest()
    assert over.log("c") == f"{digest}  -\n440\ndefaultname\npem\n"
    assert (
        "projected volume 'all' lacks 'k' of Secret 'absent', which the create request does not contain"
        in served24.sidecar.log
    )


@of("sub paths")
def test_parts_of_volumes(over: Watched) -> None:
    assert over.phase == "Succeeded", over.log("c")
    assert over.log("c") == "2\n"


def test_only_allowed_host_paths(site: Site, serve: Serve) -> None:
    """What is asked for is looked at when the pod is created, and where its links lead, on the node."""
    allowed = serve(site, AllowedHostPaths=["/tmp/allowed", "/srv/images"])
    site.exec("mkdir -p /tmp/allowed/in && ln -sfn /etc /tmp/allowed/out && chmod -R a+rX /tmp/allowed")
    inside = allowed.vk.create(request(mounting("ls -d /v", host("v", "/tmp/allowed/in"))))
    outside = allowed.vk.create(request(mounting("ls /v", host("v", "/tmp/allowed/out"))))
    refused = allowed.vk.refused(request(mounting("true", host("v", "/etc"))))
    assert "AllowedHostPaths allows /tmp/allowed, /srv/images" in refused.text
    assert inside.until_over().phase == "Succeeded"
    assert outside.until_over().phase == "Failed"
    assert "/tmp/allowed/out leads to /etc" in outside.terminated("c")["message"]


def test_a_claim_lies_at_the_path_of_the_map(site: Site, serve: Serve) -> None:
    site.exec("mkdir -p /tmp/claims && chmod 777 /tmp/claims")
    served = serve(site, PersistentVolumeClaims={"fixed": "/srv", "*": "/tmp/claims/{namespace}/{claim}"})
    claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in ("fixed", "own")]
    kept = served.vk.create(request(mounting("ls /fixed; echo kept > /own/f", *claims))).until_over()
    assert kept.phase == "Succeeded", kept.log("c")
    assert kept.log("c") == "images\n"
    assert site.exec("cat /tmp/claims/default/own/f") == "kept\n"
    kept.delete()
    served.until_gone(kept.pod)
    assert site.exec("cat /tmp/claims/default/own/f") == "kept\n", "it outlives the pod"


def test_an_unsupported_volume_costs_a_container_none_of_its_other_mounts(site: Site, serve: Serve) -> None:
    served = serve(site, UnsupportedVolumes="leave-out")
    volumes = [{"name": "far", "nfs": {"server": "s", "path": "/"}}, {"name": "near", "emptyDir": {}}]
    a_pod = mounting("test ! -e /far && echo x > /near/f && cat /near/f; exit 3", *volumes)
    a_pod["spec"]["containers"].append(sh("other", "true"))
    reported = served.vk.create(request(a_pod)).until_over()
    sentence = "volume 'far' has the unsupported kind 'nfs': it is left out"
    assert reported.log("c") == f"(remote-slurm: {sentence} (UnsupportedVolumes))\nx\n"
    assert reported.terminated("c")["message"].startswith(sentence)
    assert (reported.log("other"), reported.exit_code("other")) == ("", 0)
    assert sentence in served.sidecar.log
