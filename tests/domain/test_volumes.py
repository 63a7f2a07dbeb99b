"""Volumes: which files travel, with which modes, and what each container mounts."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from podspec import container, pod, request

from remote_slurm.domain.pod import CreateRequest
from remote_slurm.domain.volumes import File, HostPath, Mount, Volumes, plan_volumes
from remote_slurm.errors import Rejected

PAYLOADS = Path(__file__).parents[1] / "payloads"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


CONFIG = {
    "configMaps": [
        {"metadata": {"name": "settings"}, "data": {"a": "1\n", "b": "zwei"}, "binaryData": {"c": b64(b"\0\xff")}}
    ]
}
SECRET = {"secrets": [{"metadata": {"name": "creds"}, "data": {"token": b64(b"t0p")}, "stringData": {"user": "me"}}]}
PROJECTED = {
    "projectedvolumemaps": [{"metadata": {"name": "v"}, "data": {"token": "abc", "deep/ca.crt": "line\nline\n"}}]
}


def volumes(
    source: dict[str, Any], *, export: bool = True, mount: dict[str, Any] | None = None, **data: Any
) -> Volumes:
    """What a pod's only volume, `v`, comes to."""
    mounting = container(volumeMounts=[{"name": "v", "mountPath": "/v", **(mount or {})}])
    return plan_volumes(request(pod(mounting, volumes=[{"name": "v", **source}]), **data), export_pod_data=export)


def files(found: Volumes) -> dict[str, tuple[bytes | None, int]]:
    return {file.path: (file.content, file.mode) for file in found.files}


def first_mount(found: Volumes, **mount: Any) -> Mount:
    body = pod(container(volumeMounts=[{"name": "v", "mountPath": "/v", **mount}]))
    return found.mounts(request(body).pod.spec.containers[0])[0]


# --- ConfigMaps and Secrets -------------------------------------------------------------------------------------------


def test_a_config_map_is_a_folder_of_files_that_a_container_may_not_write() -> None:
    found = volumes({"configMap": {"name": "settings"}}, **CONFIG)
    assert files(found) == {
        "volumes/v": (None, 0o700),
        "volumes/v/a": (b"1\n", 0o644),
        "volumes/v/b": (b"zwei", 0o644),
        "volumes/v/c": (b"\0\xff", 0o644),
    }
    assert first_mount(found) == Mount("volumes/v", "/v", read_only=True)


def test_a_secret_lies_where_it_is_removed_at_the_jobs_end() -> None:
    found = volumes({"secret": {"secretName": "creds", "defaultMode": 0o400}}, **SECRET)
    assert files(found) == {
        "secret/volumes/v": (None, 0o700),
        "secret/volumes/v/token": (b"t0p", 0o400),
        "secret/volumes/v/user": (b"me", 0o400),
    }


def test_items_choose_keys_and_say_paths_and_modes() -> None:
    items = [{"key": "a", "path": "deep/er/a.txt", "mode": 0o600}, {"key": "c", "path": "c"}]
    found = volumes({"configMap": {"name": "settings", "items": items, "defaultMode": 0o640}}, **CONFIG)
    assert files(found) == {
        "volumes/v": (None, 0o700),
        "volumes/v/deep/er/a.txt": (b"1\n", 0o600),
        "volumes/v/c": (b"\0\xff", 0o640),
    }


def test_a_mode_of_zero_is_a_mode() -> None:
    items = [{"key": "a", "path": "a", "mode": 0}]
    assert files(volumes({"configMap": {"name": "settings", "items": items}}, **CONFIG))["volumes/v/a"][1] == 0


@pytest.mark.parametrize("mode", [0o100644, 0o4755, 0o7777])
@pytest.mark.parametrize("kind", ["configMap", "secret", "projected"])
def test_a_mode_has_permission_bits_only(kind: str, mode: int) -> None:
    source = {"name": "settings", "secretName": "creds", "defaultMode": mode}
    found = files(volumes({kind: source}, **CONFIG, **SECRET, **PROJECTED))
    assert {each for content, each in found.values() if content is not None} == {mode & 0o777}


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ({"configMap": {"name": "absent", "optional": True}}, "volumes/v"),
        ({"secret": {"secretName": "absent", "optional": True}}, "secret/volumes/v"),
        ({"configMap": {"name": "absent", "optional": True, "items": [{"key": "a", "path": "a"}]}}, "volumes/v"),
        ({"configMap": {"name": "settings", "optional": True, "items": [{"key": "z", "path": "z"}]}}, "volumes/v"),
    ],
)
def test_what_is_optional_may_be_missing(source: dict[str, Any], folder: str) -> None:
    assert files(volumes(source, **CONFIG)) == {folder: (None, 0o700)}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"configMap": {"name": "absent"}}, "ConfigMap 'absent', which volume 'v' needs, did not come with the pod"),
        ({"secret": {"secretName": "absent"}}, "Secret 'absent', which volume 'v' needs, did not come with the pod"),
        (
            {"configMap": {"name": "settings", "items": [{"key": "z", "path": "z"}]}},
            "ConfigMap 'settings' has no key 'z'",
        ),
    ],
)
def test_what_is_needed_may_not(source: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Rejected) as caught:
        volumes(source, **CONFIG, **SECRET)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("path", ["../x", "a/../../x", "..", "/etc/passwd", "", ".", "a\0b"])
def test_no_file_leaves_its_volume(path: str) -> None:
    with pytest.raises(Rejected, match="must stay below its volume"):
        volumes({"configMap": {"name": "settings", "items": [{"key": "a", "path": path}]}}, **CONFIG)
    with pytest.raises(Rejected, match="must stay below its volume"):
        volumes({"projected": {}}, projectedvolumemaps=[{"metadata": {"name": "v"}, "data": {path: "x"}}])
    with pytest.raises(Rejected, match="must stay below its volume"):
        volumes({"secret": {"secretName": "s"}}, secrets=[{"metadata": {"name": "s"}, "stringData": {path: "x"}}])


@pytest.mark.parametrize("data", ["%%%", "YQ", "YQ==YQ==", "ä"])
def test_what_is_not_base64_is_refused_without_showing_it(data: str) -> None:
    with pytest.raises(Rejected) as caught:
        volumes({"secret": {"secretName": "s"}}, secrets=[{"metadata": {"name": "s"}, "data": {"k": data}}])
    assert str(caught.value).startswith("the data of Secret 's' is not base64")
    assert data not in str(caught.value)


def test_export_pod_data_false_keeps_them_in_kubernetes() -> None:
    for source in ({"configMap": {"name": "settings"}}, {"secret": {"secretName": "creds", "optional": True}}):
        with pytest.raises(Rejected, match=r"volume 'v' needs .* ExportPodData is false: it may not leave Kubernetes"):
            volumes(source, export=False, **CONFIG, **SECRET)


def test_data_does_not_show_in_a_repr() -> None:
    assert "t0p" not in repr(volumes({"secret": {"secretName": "creds"}}, **SECRET))


# --- the other kinds --------------------------------------------------------------------------------------------------


def test_a_projected_volume_arrives_under_the_volumes_name() -> None:
    found = volumes({"projected": {"defaultMode": 0o440, "sources": []}}, **PROJECTED)
    assert files(found) == {
        "secret/volumes/v": (None, 0o700),
        "secret/volumes/v/token": (b"abc", 0o440),
        "secret/volumes/v/deep/ca.crt": (b"line\nline\n", 0o440),
    }
    assert found.warnings == ()
    assert first_mount(found).read_only


@pytest.mark.parametrize(
    ("export", "data", "why"),
    [
        (True, {}, "no data came with the pod"),
        (False, PROJECTED, "ExportPodData is false"),
    ],
)
def test_a_projected_volume_without_data_stays_empty_and_says_so(export: bool, data: dict[str, Any], why: str) -> None:  # noqa: FBT001
    found = volumes({"projected": {}}, export=export, **data)
    assert files(found) == {"secret/volumes/v": (None, 0o700)}
    assert found.warnings == (f"projected volume 'v' stays empty, since {why}",)


@pytest.mark.parametrize("source", [{"emptyDir": {}}, {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}, {}])
def test_an_empty_dir_can_be_written(source: dict[str, Any]) -> None:
    found = volumes(source)
    assert files(found) == {"volumes/v": (None, 0o700)}
    assert first_mount(found) == Mount("volumes/v", "/v", read_only=False)


def test_a_host_path_is_checked_on_the_node() -> None:
    found = volumes({"hostPath": {"path": "/data/foo", "type": "DirectoryOrCreate"}})
    assert found.host_paths == (HostPath("/data/foo", "DirectoryOrCreate"),)
    assert files(found) == {}
    assert first_mount(found, readOnly=True) == Mount("/data/foo", "/v", read_only=True)
    assert first_mount(found, subPath="a/b") == Mount("/data/foo/a/b", "/v", read_only=False)
    assert volumes({"hostPath": {"path": "/d", "type": None}}).host_paths == (HostPath("/d", ""),)


@pytest.mark.parametrize("path", ["data", "./data", "/data/../etc", "", "../.."])
def test_a_host_path_is_absolute(path: str) -> None:
    with pytest.raises(Rejected, match="hostPath volume 'v' has the path"):
        volumes({"hostPath": {"path": path}})


@pytest.mark.parametrize("kind", ["persistentVolumeClaim", "nfs", "csi", "downwardAPI", "aKindOfNextYear"])
def test_another_kind_is_refused_by_name(kind: str) -> None:
    with pytest.raises(Rejected, match=f"volume 'v' is of the kind '{kind}', which cannot be given to a Slurm job yet"):
        volumes({kind: {"claimName": "c"}})


def test_a_volume_that_nothing_mounts_costs_nothing() -> None:
    body = pod(volumes=[{"name": "v", "nfs": {}}, {"name": "w", "configMap": {"name": "absent"}}])
    assert plan_volumes(request(body), export_pod_data=True) == Volumes()


# --- mounts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ({}, Mount("volumes/v", "/v", read_only=False)),
        ({"readOnly": True}, Mount("volumes/v", "/v", read_only=True)),
        ({"subPath": "a"}, Mount("volumes/v/a", "/v", read_only=False)),
        ({"subPath": "a//b/./c"}, Mount("volumes/v/a/b/c", "/v", read_only=False)),
        ({"subPath": ""}, Mount("volumes/v", "/v", read_only=False)),
        ({"subPath": "..data"}, Mount("volumes/v/..data", "/v", read_only=False)),
        ({"mountPath": "/with blank/it's"}, Mount("volumes/v", "/with blank/it's", read_only=False)),
    ],
)
def test_a_mount(mount: dict[str, Any], expected: Mount) -> None:
    assert first_mount(volumes({"emptyDir": {}}), **mount) == expected


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ({"name": "w"}, "names a volume that the pod does not have"),
        ({"mountPath": "relative"}, "has the mountPath 'relative', which is not absolute"),
        ({"subPath": "../../x"}, "must stay below its volume"),
        ({"subPath": "/etc"}, "must stay below its volume"),
        ({"mountPath": "/a:/b"}, "--bind cannot express"),
        ({"mountPath": "/a,/b"}, "--bind cannot express"),
        ({"mountPath": "/a\n/b"}, "--bind cannot express"),
        ({"subPath": "a:b"}, "--bind cannot express"),
        ({"subPath": "a\\b"}, "--bind cannot express"),
    ],
)
def test_a_mount_that_is_refused(mount: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Rejected, match=sentence):
        first_mount(volumes({"emptyDir": {}}), **mount)


def test_interlinks_payload_with_one_of_each() -> None:
    body = CreateRequest.parse(json.loads((PAYLOADS / "create-volumes.json").read_text()))
    found = plan_volumes(body, export_pod_data=True)
    assert [file for file in found.files if file.path.startswith("volumes/config/")] == [
        File("volumes/config/greeting.txt", b"hello from a ConfigMap\nsecond line\n", 0o444)
    ]
    assert {path: mode for path, (content, mode) in files(found).items() if content is None} == {
        "volumes/config": 0o700,
        "secret/volumes/creds": 0o700,
        "volumes/work": 0o700,
        "secret/volumes/kube-api-access-x7r2q": 0o700,
    }
    assert found.host_paths == (HostPath("/tmp/scratch", "DirectoryOrCreate"),)
    assert found.mounts(body.pod.spec.containers[1]) == [
        Mount("volumes/config/greeting.txt", "/etc/app/greeting.txt", read_only=True)
    ]
    assert found.warnings == ()
