"""Attacks from inside of containers: what one of them leaves for another one, and for programs of the node."""

import pytest

from tests.pods import Json, pod, request, sh
from tests.runtimes import Shared
from tests.serving import Serve
from tests.shared_folder import execute
from tests.sites import Site

KINDS = {
    "folder": ("apptainer", "busybox"),
    "sif": ("apptainer", "busybox.sif"),
    "podman": ("podman", "busybox"),
    "enroot": ("enroot", "busybox"),
    "apart": ("apptainer apart", "busybox"),
}
WORK: Json = {"name": "work", "mountPath": "/v"}


def attacked(image: str, account: str) -> Json:
    """The first container puts links in the place of what the others mount, once all of it has been checked."""
    swap = f"cd /v && rmdir sub up/x up && ln -s {account} sub && ln -sf {account}/key file && ln -s ../../.. up"
    hook = {"lifecycle": {"postStart": execute(swap)}}
    first = sh("first", "until [ -L /v/up ]; do sleep 0.1; done; sleep 2", image=image, volumeMounts=[WORK], **hook)
    others = [
        sh(name, "cat /it /it/key; ls /it", image=image, volumeMounts=[{**WORK, "mountPath": "/it", "subPath": path}])
        for name, path in (("folder", "sub"), ("file", "file"), ("up", "up/x"))
    ]
    over_link = [WORK, {"name": "empty", "mountPath": "/v/sub"}]
    others.append(sh("nested", "echo new >/v/sub/new; cat /v/sub/key", image=image, volumeMounts=over_link))
    below_link = [WORK, {"name": "empty", "mountPath": "/v/sub/made"}]
    others.append(sh("below", "ls /v/sub/made", image=image, volumeMounts=below_link))
    other = sh("told", "true", image=image, volumeMounts=[WORK])
    others.append({**other, "terminationMessagePath": "/v/sub/message"})
    made = sh("made", "mkdir -p /v/sub /v/up/x; echo old >/v/file", image=image, volumeMounts=[WORK])
    spec: Json = {"initContainers": [made], "volumes": [{"name": name, "emptyDir": {}} for name in ("work", "empty")]}
    return pod(first, *others, **spec)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_container_puts_in_the_place_of_a_mount_is_not_mounted(shared: Shared, kind: str) -> None:
    runtime, image = KINDS[kind]
    served = shared(runtime)
    account = "/home/hpcuser/account-escape"
    served.site.write(f"{account}/key", "the account's own\n")
    over = served.vk.create(request(attacked(image, account))).until_over()
    assert over.exit_code("first") == 0
    for name in ("folder", "file", "up"):
        assert "the account's own" not in over.log(name)
        assert over.exit_code(name) == 128, over.log(name)
        assert "leads out of its volume" in over.log(name)
        # in a job's comment there is no room for all of it
        assert over.terminated(name)["message"].startswith("Error: subPath")
    assert "the account's own" not in over.log("nested")
    if runtime != "podman":  # its own mounts never leave the container
        for name, path in (("below", "/v/sub/made"), ("told", "/v/sub/message")):
            assert f"mountPath {path} leads out of its volume" in over.log(name)
    assert served.site.exec(f"ls {account}") == "key\n"


@pytest.mark.parametrize("kind", KINDS)
def test_sources_that_are_checked_are_mounted_as_they_are(shared: Shared, kind: str) -> None:
    runtime, image = KINDS[kind]
    a_pod = pod(
        sh(
            "c",
            "cat /sub/by-init /file /link; echo mine >/made/mine; cat /v/new/deep/mine; "
            "(echo no >/sub/x) 2>/dev/null || echo read-only; echo in memory >/memory/x; cat /memory-ro/x; "
            "cat /v/link-to-new/inner/x; (echo no >/v/new/inner/x) 2>/dev/null || echo read-only; "
            "ls /proc/self/fd",
            image=image,
            volumeMounts=[
                WORK,
                {**WORK, "mountPath": "/sub", "subPath": "sub", "readOnly": True},
                {**WORK, "mountPath": "/file", "subPath": "sub/by-init"},
                {**WORK, "mountPath": "/link", "subPath": "link"},
                {**WORK, "mountPath": "/made", "subPath": "new/deep"},
                {"name": "memory", "mountPath": "/memory"},
                {"name": "memory", "mountPath": "/v/link-to-new/inner", "readOnly": True},
                {"name": "memory", "mountPath": "/memory-ro", "readOnly": True},
            ],
            readinessProbe=execute("cat /sub/by-init"),
        ),
        initContainers=[
            sh(
                "init",
                "mkdir /v/sub /v/new; echo hello >/v/sub/by-init; ln -s sub/by-init /v/link; ln -s new /v/link-to-new",
                image=image,
                volumeMounts=[WORK],
            )
        ],
        volumes=[{"name": "work", "emptyDir": {}}, {"name": "memory", "emptyDir": {"medium": "Memory"}}],
    )
    seen = shared(runtime).vk.create(request(a_pod)).until_over()
    lines = seen.log("c").splitlines()
    inside = ["in memory", "read-only"]
    assert lines[:8] == ["hello"] * 3 + ["mine", "read-only", "in memory", *inside], lines
    opened = {"9"} if runtime == "enroot" else set()  # by the stand-in
    assert set(lines[8:]) - opened == {"0", "1", "2", "3"}, "ls itself has opened one"


def test_a_host_path_that_is_replaced_through_one_above_it_is_not_mounted(serve: Serve, site: Site) -> None:
    share, account = "/home/hpcuser/share-escape", "/home/hpcuser/account-escape"
    site.write(f"{account}/key", "the account's own\n")
    site.exec(f"rm -rf {share}; mkdir -p {share}/inner && chown -R hpcuser {share}")
    served = serve(site, AllowedHostPaths=[share, f"{share}/inner"])
    volumes = [
        {"name": "outer", "hostPath": {"path": share}},
        {"name": "inner", "hostPath": {"path": f"{share}/inner", "type": "Directory"}},
    ]
    first = sh("first", "sleep 6", volumeMounts=[{"name": "outer", "mountPath": "/v"}])
    first["lifecycle"] = {"postStart": execute(f"rmdir /v/inner && ln -s {account} /v/inner")}
    second = sh("second", "cat /inner/key", volumeMounts=[{"name": "inner", "mountPath": "/inner"}])
    a_pod = pod(first, second, volumes=volumes)
    over = served.vk.create(request(a_pod)).until_over()
    assert over.exit_code("first") == 0
    assert "the account's own" not in over.log("second")
    assert "which AllowedHostPaths does not allow" in over.log("second")
    assert over.exit_code("second") == 128
    wide = serve(site, AllowedHostPaths=["/home/hpcuser"])
    reads = sh("c", "cat /v/*/secret/* /v/.ssh/*", volumeMounts=[{"name": "v", "mountPath": "/v"}])
    for path in ("/home/hpcuser", f"/home/hpcuser/{wide.root}"):
        refused = wide.vk.create(request(pod(reads, volumes=[{"name": "v", "hostPath": {"path": path}}]))).until_over()
        assert "a folder of remote-slurm" in refused.terminated("c")["message"]
