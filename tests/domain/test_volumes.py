"""Volumes: which files travel, with which modes, and what each container mounts."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.config import VolumeConfig
from remote_slurm.domain.plan.mounts import CheckedSource, Mount
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.plan.pvc import claims_of_unknown_class
from remote_slurm.domain.plan.volumes import Volumes, plan_volumes
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.domain.shell import Hidden
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import config, container, pod, request

PAYLOADS = Path(__file__).parents[1] / "payloads"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


CONFIG = {
    "configMaps": [
        {"metadata": {"name": "settings"}, "data": {"a": "1\n", "b": "zwei"}, "binaryData": {"c": b64(b"\0\xff")}}
    ]
}
SECRET = {"secrets": [{"metadata": {"name": "creds"}, "data": {"token": b64(b"t0p")}, "stringData": {"user": "me"}}]}
RESOURCES = {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "1"}}
PROJECTED = {
    "projectedvolumemaps": [{"metadata": {"name": "v"}, "data": {"token": "abc", "deep/ca.crt": "line\nline\n"}}]
}


def volumes(
    source: dict[str, Any],
    *,
    export: bool = True,
    settings: dict[str, Any] | None = None,
    classes: dict[str, str] | None = None,
    **data: Any,
) -> Volumes:
    """What a pod's only volume, `v`, comes to."""
    mounting = container(volumeMounts=[{"name": "v", "mountPath": "/v"}], resources=RESOURCES)
    a_pod = pod(mounting, volumes=[{"name": "v", **source}])
    a_pod["metadata"]["labels"] = {"app": "x", "tier": 'a "b"'}
    asked = request(a_pod, **data).model_copy(update={"storage_classes": classes or {}})
    return volumes_of(asked, ExportPodData=export, **(settings or {}))


def volumes_of(asked: CreateRequest, **keys: Any) -> Volumes:
    settings = config(**keys)
    return plan_volumes(asked, VolumeConfig.from_config(settings), file_transfer(settings))


def files(found: Volumes) -> dict[str, tuple[bytes | None, int]]:
    return {file.path: (file.content, file.mode) for file in found.fragment.files}


def first_mount(found: Volumes, known: dict[str, str] | None = None, **mount: Any) -> Mount:
    body = pod(container(volumeMounts=[{"name": "v", "mountPath": "/v", **mount}]))
    return found.mounts(request(body).pod.spec.containers[0], known or {})[0]


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


_NOT_SENT = "which the create request does not contain: create it in the pod's namespace, or set optional: true"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            {"configMap": {"name": "absent"}},
            f"volume 'v' needs ConfigMap 'absent', {_NOT_SENT}",
        ),
        (
            {"secret": {"secretName": "absent"}},
            f"volume 'v' needs Secret 'absent', {_NOT_SENT}",
        ),
        (
            {"configMap": {"name": "settings", "items": [{"key": "z", "path": "z"}]}},
            "volume 'v' needs key 'z' of ConfigMap 'settings', which has no such key",
        ),
    ],
)
def test_what_is_needed_may_not(source: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        volumes(source, **CONFIG, **SECRET)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("path", ["../x", "a/../../x", "..", "/etc/passwd", "", ".", "a\0b"])
def test_no_file_leaves_its_volume(path: str) -> None:
    with pytest.raises(InvalidRequest, match="must be relative, without"):
        volumes({"configMap": {"name": "settings", "items": [{"key": "a", "path": path}]}}, **CONFIG)
    with pytest.raises(InvalidRequest, match="must be relative, without"):
        volumes({"projected": {}}, projectedvolumemaps=[{"metadata": {"name": "v"}, "data": {path: "x"}}])
    with pytest.raises(InvalidRequest, match="must be relative, without"):
        volumes({"secret": {"secretName": "s"}}, secrets=[{"metadata": {"name": "s"}, "stringData": {path: "x"}}])


@pytest.mark.parametrize("data", ["%%%", "YQ", "YQ==YQ==", "ä"])
def test_what_is_not_base64_is_refused_without_showing_it(data: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        volumes({"secret": {"secretName": "s"}}, secrets=[{"metadata": {"name": "s"}, "data": {"k": data}}])
    assert str(caught.value).startswith("the data of Secret 's' is not base64")
    assert data not in str(caught.value)


def test_export_pod_data_false_keeps_them_in_kubernetes() -> None:
    for source in ({"configMap": {"name": "settings"}}, {"secret": {"secretName": "creds", "optional": True}}):
        with pytest.raises(
            InvalidRequest, match=r"volume 'v' needs .*, which the sidecar may not send to the site: set ExportPodData"
        ):
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
    assert found.fragment.warnings == ()
    assert first_mount(found).read_only


@pytest.mark.parametrize(
    ("export", "data", "why"),
    [
        (True, {}, "the create request contains no data for it"),
        (False, PROJECTED, "ExportPodData is false"),
    ],
)
def test_a_projected_volume_without_data_stays_empty_and_says_so(export: bool, data: dict[str, Any], why: str) -> None:  # noqa: FBT001
    found = volumes({"projected": {}}, export=export, **data)
    assert files(found) == {"secret/volumes/v": (None, 0o700)}
    assert found.fragment.warnings == (f"projected volume 'v' stays empty, since {why}",)


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ({"emptyDir": {}}, ()),
        ({}, ()),
        ({"emptyDir": {"medium": ""}}, ()),
        ({"emptyDir": {"sizeLimit": "1Gi"}}, (("size_limit", "v", f"bytes={2**30}"),)),
        ({"emptyDir": {"sizeLimit": "0"}}, ()),
        ({"emptyDir": {"medium": "Memory"}}, (("memory_volume", "v"),)),
        (
            {"emptyDir": {"medium": "Memory", "sizeLimit": "1500m"}},
            (("memory_volume", "v"), ("size_limit", "v", "bytes=2")),
        ),
    ],
)
def test_an_empty_dir_can_be_written(source: dict[str, Any], calls: tuple[Any, ...]) -> None:
    found = volumes(source)
    on_disk = ("memory_volume", "v") not in calls
    assert files(found) == ({"volumes/v": (None, 0o700)} if on_disk else {})
    assert found.fragment.calls == calls
    # a link leads to the node's memory, where other containers may write
    checked = None if on_disk else CheckedSource("volumes/v", "", "", ())
    assert first_mount(found) == Mount("volumes/v", "/v", read_only=False, checked=checked)


def test_an_empty_dir_of_another_medium_lies_on_disk_and_says_so() -> None:
    assert volumes({"emptyDir": {"medium": "HugePages"}}).fragment.warnings == (
        "emptyDir volume 'v' is on disk: unknown medium HugePages",
    )


def test_a_size_limit_is_a_quantity() -> None:
    with pytest.raises(InvalidRequest, match="invalid value 'much' of the sizeLimit of volume 'v'"):
        volumes({"emptyDir": {"sizeLimit": "much"}})


def test_a_host_path_is_checked_on_the_node() -> None:
    found = volumes({"hostPath": {"path": "/data/foo", "type": "DirectoryOrCreate"}})
    assert found.fragment.calls == (("host_path", "DirectoryOrCreate", "/data/foo"),)
    assert files(found) == {}
    assert first_mount(found, readOnly=True) == Mount("/data/foo", "/v", read_only=True)
    checked = CheckedSource("/data/foo", "a/b", "a/b", ())
    assert first_mount(found, subPath="a/b") == Mount("/data/foo/a/b", "/v", read_only=False, checked=checked)
    assert volumes({"hostPath": {"path": "/d", "type": None}}).fragment.calls == (("host_path", "", "/d"),)
    assert first_mount(volumes({"hostPath": {"path": "/"}}), subPath="a").source == "/a"


@pytest.mark.parametrize("kind", ["Directory", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice"])
def test_a_host_path_has_one_of_kubernetes_types(kind: str) -> None:
    assert volumes({"hostPath": {"path": "/d", "type": kind}}).fragment.calls == (("host_path", kind, "/d"),)
    with pytest.raises(InvalidRequest, match=f"invalid type '{kind.lower()}' of hostPath volume 'v'"):
        volumes({"hostPath": {"path": "/d", "type": kind.lower()}})


ALLOWED = {"AllowedHostPaths": ["/scratch/shared", "/data/"]}


@pytest.mark.parametrize("path", ["/scratch/shared", "/scratch/shared/", "/scratch/shared/a", "/data/x", "//data/x"])
def test_a_host_path_in_an_allowed_folder(path: str) -> None:
    found = volumes({"hostPath": {"path": path}}, settings=ALLOWED)
    plain = path.replace("//", "/").rstrip("/")
    assert found.fragment.calls == (("host_path", "", plain, "/scratch/shared", "/data"),), (
        "links are followed on the node"
    )
    allowed = ("/scratch/shared", "/data")
    assert first_mount(found).checked == CheckedSource(plain, "", "", allowed)


def test_an_allowed_folder_inside_another_one_adds_nothing() -> None:
    """A container that mounts the outer one could replace it by a link."""
    nested = {"AllowedHostPaths": ["/data/inner", "/data", "/data2"]}
    found = volumes({"hostPath": {"path": "/data/inner/x"}}, settings=nested)
    assert found.fragment.calls == (("host_path", "", "/data/inner/x", "/data", "/data2"),)


@pytest.mark.parametrize("path", ["/scratch/shared2", "/scratch", "/", "/home/x/.ssh", "/database"])
def test_a_host_path_in_another_folder_is_refused_with_the_keys_name(path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        volumes({"hostPath": {"path": path}}, settings=ALLOWED)
    assert str(caught.value) == (
        f"path '{path}' of hostPath volume 'v' is not allowed: AllowedHostPaths allows /scratch/shared, /data"
    )


# --- claims -----------------------------------------------------------------------------------------------------------

CLAIMS = {
    "PersistentVolumeClaims": {
        "default/data": "/gpfs/default-data",
        "data": "/gpfs/data",
        "home": "/home/shared",
        "*": "/scratch/claims/{namespace}/{claim}",
    }
}


@pytest.mark.parametrize(
    ("claim", "path", "calls"),
    [
        ("data", "/gpfs/default-data", (("host_path", "Directory", "/gpfs/default-data"),)),
        ("home", "/home/shared", (("host_path", "Directory", "/home/shared"),)),
        (
            "other",
            "/scratch/claims/default/other",
            (
                ("host_path", "Directory", "/scratch/claims"),
                ("host_path", "DirectoryOrCreate", "/scratch/claims/default/other"),
            ),
        ),
    ],
)
def test_a_claim_is_a_folder_that_the_configuration_names(claim: str, path: str, calls: tuple[Any, ...]) -> None:
    found = volumes({"persistentVolumeClaim": {"claimName": claim}}, settings=CLAIMS)
    assert found.fragment.calls == calls
    assert first_mount(found) == Mount(path, "/v", read_only=False)
    checked = CheckedSource(path, "sub", "sub", ())
    assert first_mount(found, subPath="sub") == Mount(f"{path}/sub", "/v", read_only=False, checked=checked)
    read_only = volumes({"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}, settings=CLAIMS)
    assert first_mount(read_only).read_only


def test_a_claim_without_a_path_is_refused_with_the_keys_name() -> None:
    with pytest.raises(InvalidRequest) as caught:
        volumes({"persistentVolumeClaim": {"claimName": "c"}})
    assert str(caught.value) == (
        "PersistentVolumeClaims has no path for persistentVolumeClaim 'default/c': add an entry to the sidecar's "
        "configuration"
    )


BY_CLASS = {
    "CUSTOMKUBECONF": "in-cluster",
    "PersistentVolumeClaims": {
        "default/data": "/gpfs/default-data",
        "home": "/home/shared",
        "storageClass/fast": "/nvme/{namespace}/{claim}",
    },
}
OTHERS = {**BY_CLASS, "PersistentVolumeClaims": {**BY_CLASS["PersistentVolumeClaims"], "*": "/others"}}


@pytest.mark.parametrize(
    ("claim", "settings", "path"),
    [
        ("data", BY_CLASS, "/gpfs/default-data"),
        ("home", BY_CLASS, "/home/shared"),
        ("own", BY_CLASS, "/nvme/default/own"),
        ("own", OTHERS, "/nvme/default/own"),
        ("slow", OTHERS, "/others"),
        ("none", OTHERS, "/others"),
    ],
)
def test_the_name_of_a_claim_takes_precedence_over_its_storage_class(
    claim: str, settings: dict[str, Any], path: str
) -> None:
    classes = {"own": "fast", "slow": "tape", "none": ""}
    found = volumes({"persistentVolumeClaim": {"claimName": claim}}, settings=settings, classes=classes)
    assert first_mount(found).source == path


@pytest.mark.parametrize(
    ("settings", "classes", "sentence"),
    [
        (BY_CLASS, {"c": "tape"}, "no path for persistentVolumeClaim 'default/c' of the storage class 'tape'"),
        (BY_CLASS, {"c": ""}, "no path for persistentVolumeClaim 'default/c' without a storage class"),
        (BY_CLASS, {}, "the storage class of persistentVolumeClaim 'default/c' is unknown"),
        (OTHERS, {}, "the storage class of persistentVolumeClaim 'default/c' is unknown"),
    ],
)
def test_a_claim_of_an_unknown_storage_class_is_refused(
    settings: dict[str, Any], classes: dict[str, str], sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        volumes({"persistentVolumeClaim": {"claimName": "c"}}, settings=settings, classes=classes)


@pytest.mark.parametrize(
    ("settings", "asked"), [(OTHERS, ["own", "other"]), (CLAIMS, []), ({"PersistentVolumeClaims": {}}, [])]
)
def test_a_storage_class_is_asked_for_only_where_a_path_depends_on_it(
    settings: dict[str, Any], asked: list[str]
) -> None:
    names = ("data", "own", "home", "other", "own", "unmounted")
    claims = [{"name": f"v{number}", "persistentVolumeClaim": {"claimName": name}} for number, name in enumerate(names)]
    mounts = [{"name": each["name"], "mountPath": "/v"} for each in claims[:-1]]
    body = pod(container(volumeMounts=mounts), volumes=claims)
    assert claims_of_unknown_class(request(body).pod, config(**settings).persistent_volume_claims) == asked


@pytest.mark.parametrize("name", ["../x", "a/b", "", "$(id)"])
def test_a_claims_name_is_one_part_of_a_path(name: str) -> None:
    with pytest.raises(InvalidRequest, match="claimName"):
        volumes({"persistentVolumeClaim": {"claimName": name}}, settings=CLAIMS)


@pytest.mark.parametrize("path", ["data", "./data", "/data/../etc", "", "../.."])
def test_a_host_path_is_absolute(path: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^invalid path '.*' of hostPath volume 'v': must be absolute"):
        volumes({"hostPath": {"path": path}})


@pytest.mark.parametrize("kind", ["nfs", "csi", "image", "ephemeral", "iscsi", "aKindOfNextYear"])
def test_another_kind_is_refused_by_name(kind: str) -> None:
    with pytest.raises(InvalidRequest, match=f"volume 'v' has the unsupported kind '{kind}': "):
        volumes({kind: {"server": "s"}})


def test_leave_out_drops_unsupported_volumes_and_no_other_mount() -> None:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("v", "w", "v")]
    body = pod(container(volumeMounts=mounts), volumes=[{"name": "v", "nfs": {}}, {"name": "w", "emptyDir": {}}])
    found = volumes_of(request(body), UnsupportedVolumes="leave-out")
    first = request(body).pod.spec.containers[0]
    why = "volume 'v' has the unsupported kind 'nfs'"
    sentence = f"{why}: it is left out (UnsupportedVolumes)"
    assert found.mounts(first, {}) == [Mount("volumes/w", "/w", read_only=False)]
    assert (found.fragment.warnings, found.lacks(first)) == ((sentence,), [("lacks", sentence)])
    unknown = pod(container(volumeMounts=[{"name": "x", "mountPath": "/x"}]))
    with pytest.raises(InvalidRequest, match="refers to a volume that the pod does not have"):
        volumes_of(request(unknown), UnsupportedVolumes="leave-out").mounts(request(unknown).pod.spec.containers[0], {})


def test_a_volume_that_nothing_mounts_costs_nothing() -> None:
    body = pod(volumes=[{"name": "v", "nfs": {}}, {"name": "w", "configMap": {"name": "absent"}}])
    assert volumes_of(request(body)) == Volumes()


# --- mounts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ({}, Mount("volumes/v", "/v", read_only=False)),
        ({"readOnly": True}, Mount("volumes/v", "/v", read_only=True)),
        ({"subPath": "a"}, Mount("volumes/v/a", "/v", read_only=False)),
        ({"subPath": "a//b/./c"}, Mount("volumes/v/a/b/c", "/v", read_only=False)),
        ({"subPath": ""}, Mount("volumes/v", "/v", read_only=False)),
        ({"subPath": "."}, Mount("volumes/v", "/v", read_only=False)),
        ({"subPath": "././"}, Mount("volumes/v", "/v", read_only=False)),
        ({"subPathExpr": "."}, Mount("volumes/v", "/v", read_only=False)),
        ({"subPath": "..data"}, Mount("volumes/v/..data", "/v", read_only=False)),
        ({"mountPath": "/with blank/it's"}, Mount("volumes/v", "/with blank/it's", read_only=False)),
    ],
)
def test_a_mount(mount: dict[str, Any], expected: Mount) -> None:
    checked = (
        CheckedSource("volumes/v", sub, mount["subPath"], ()) if (sub := expected.source[len("volumes/v/") :]) else None
    )
    assert first_mount(volumes({"emptyDir": {}}), **mount) == replace(expected, checked=checked)


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ({"name": "w"}, "refers to a volume that the pod does not have"),
        ({"mountPath": "relative"}, "invalid mountPath 'relative' of"),
        ({"subPath": "../../x"}, "must be relative, without"),
        ({"subPath": "/etc"}, "must be relative, without"),
        ({"mountPath": "/a:/b"}, "--bind interprets"),
        ({"mountPath": "/a,/b"}, "--bind interprets"),
        ({"mountPath": "/a\n/b"}, "--bind interprets"),
        ({"subPath": "a:b"}, "--bind interprets"),
        ({"subPath": "a\\b"}, "--bind interprets"),
    ],
)
def test_a_mount_that_is_refused(mount: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        first_mount(volumes({"emptyDir": {}}), **mount)


KNOWN = {"POD_NAME": "hello", "EMPTY": "", "UP": "..", "DEEP": "a/b"}


@pytest.mark.parametrize(
    ("expression", "source"),
    [
        ("$(POD_NAME)", "volumes/v/hello"),
        ("logs/$(POD_NAME)-1", "volumes/v/logs/hello-1"),
        ("$(DEEP)", "volumes/v/a/b"),
        ("$$(POD_NAME)", "volumes/v/$(POD_NAME)"),
        ("plain", "volumes/v/plain"),
    ],
)
def test_a_sub_path_with_variables(expression: str, source: str) -> None:
    assert first_mount(volumes({"emptyDir": {}}), KNOWN, subPathExpr=expression).source == source


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ({"subPathExpr": "$(UP)/x"}, "must be relative, without"),
        ({"subPathExpr": "$(EMPTY)"}, "must be relative, without"),
        ({"subPathExpr": "$(UNKNOWN)"}, "the container's env does not have UNKNOWN"),
        ({"subPathExpr": "a", "subPath": "a"}, "has both subPath and subPathExpr"),
    ],
)
def test_a_sub_path_with_variables_that_is_refused(mount: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        first_mount(volumes({"emptyDir": {}}), KNOWN, **mount)


def test_a_sub_path_is_made_where_it_does_not_travel_with_the_pod() -> None:
    def calls(found: Volumes, **mount: Any) -> list[Any]:
        body = pod(container(volumeMounts=[{"name": "v", "mountPath": "/v", **mount}]))
        return found.sub_paths(request(body).pod.spec.containers[0], KNOWN)

    empty, settings = volumes({"emptyDir": {}}), volumes({"configMap": {"name": "settings"}}, **CONFIG)
    assert calls(empty) == []
    assert calls(empty, subPath="a/b") == [("sub_path", "volumes/v", "a/b", "a/b")]
    assert calls(empty, subPathExpr="$(POD_NAME)") == [("sub_path", "volumes/v", Hidden("hello"), "$(POD_NAME)")]
    assert calls(settings, subPath="a") == []
    assert calls(settings, subPath="absent") == [("sub_path", "volumes/v", "absent", "absent")], (
        "a folder, as kubelet makes it"
    )


def test_interlinks_payload_with_one_of_each() -> None:
    body = CreateRequest.parse(json.loads((PAYLOADS / "create-volumes.json").read_text()))
    found = volumes_of(body)
    assert [file for file in found.fragment.files if file.path.startswith("volumes/config/")] == [
        File("volumes/config/greeting.txt", b"hello from a ConfigMap\nsecond line\n", 0o444)
    ]
    assert {path: mode for path, (content, mode) in files(found).items() if content is None} == {
        "volumes/config": 0o700,
        "secret/volumes/creds": 0o700,
        "volumes/work": 0o700,
        "secret/volumes/kube-api-access-x7r2q": 0o700,
    }
    assert found.fragment.calls == (
        ("size_limit", "work", "bytes=52428800"),
        ("host_path", "DirectoryOrCreate", "/tmp/scratch"),
    )
    assert found.mounts(body.pod.spec.containers[1], {}) == [
        Mount("volumes/config/greeting.txt", "/etc/app/greeting.txt", read_only=True)
    ]
    assert found.fragment.warnings == ()


# --- the downward API, and the parts of projected volumes ------------------------------------------------------------

ITEMS = [
    {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 0o400},
    {"path": "deep/app", "fieldRef": {"fieldPath": "metadata.labels['app']"}},
    {"path": "cpus", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
    {"path": "mib", "resourceFieldRef": {"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"}},
]
DOWNWARD = {
    "secret/volumes/v": (None, 0o700),
    "secret/volumes/v/name": (b"hello", 0o440),
    "secret/volumes/v/labels": (b'app="x"\ntier="a \\"b\\""', 0o400),
    "secret/volumes/v/deep/app": (b"x", 0o440),
    "secret/volumes/v/cpus": (b"2", 0o440),
    "secret/volumes/v/mib": (b"64", 0o440),
}


def test_a_downward_api_volume() -> None:
    found = volumes({"downwardAPI": {"items": ITEMS, "defaultMode": 0o440}})
    assert files(found) == DOWNWARD
    assert first_mount(found).read_only


@pytest.mark.parametrize("kind", ["downwardAPI", "projected"])
def test_what_the_virtual_kubelet_has_filled_in_counts(kind: str) -> None:
    """It makes a projected volume of a downwardAPI volume, and leaves resources and single labels out."""
    sent = [{"metadata": {"name": "v"}, "data": {"name": "from VK", "labels": "", "other": "stays"}}]
    source = {"items": ITEMS} if kind == "downwardAPI" else {"sources": [{"downwardAPI": {"items": ITEMS}}]}
    found = files(volumes({kind: {**source, "defaultMode": 0o440}}, projectedvolumemaps=sent))
    expected = DOWNWARD | {
        "secret/volumes/v/name": (b"from VK", 0o440),
        "secret/volumes/v/labels": (b"", 0o400),
    }
    assert {path: each for path, each in found.items() if not path.endswith("other")} == expected


@pytest.mark.parametrize("field", ["status.qosClass", "spec.x", "metadata.labels[app]", "metadata"])
def test_a_field_that_a_job_cannot_know_is_refused_by_name(field: str) -> None:
    items = [{"path": "f", "fieldRef": {"fieldPath": field}}]
    for source in ({"downwardAPI": {"items": items}}, {"projected": {"sources": [{"downwardAPI": {"items": items}}]}}):
        with pytest.raises(InvalidRequest, match=rf"invalid fieldPath '{re.escape(field)}' of volume 'v'"):
            volumes(source)


def test_items_of_a_projected_volume_have_modes_and_missing_ones_warn() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "settings", "items": [{"key": "a", "path": "x/a", "mode": 0o400}]}},
        {"configMap": {"name": "other", "items": [{"key": "a", "path": "gone"}]}},
        {"configMap": {"name": "other", "items": [{"key": "a", "path": "may be gone"}], "optional": True}},
        {"secret": {"name": "absent"}},
        {"secret": {"name": "absent", "optional": True}},
        {"secret": {"name": "creds", "items": [{"key": "token", "path": "secret", "mode": 0o440}]}},
    ]
    sent = [{"metadata": {"name": "v"}, "data": {"x/a": "1\n", "token": "abc"}}]
    found = volumes({"projected": {"sources": sources}}, projectedvolumemaps=sent, **SECRET)
    assert files(found) == {
        "secret/volumes/v": (None, 0o700),
        "secret/volumes/v/x/a": (b"1\n", 0o400),
        "secret/volumes/v/token": (b"abc", 0o644),
        "secret/volumes/v/secret": (b"t0p", 0o440),
    }
    assert found.fragment.warnings == (
        "projected volume 'v' lacks 'gone' of ConfigMap 'other', which the create request does not contain",
        "projected volume 'v' lacks Secret 'absent', which the create request does not contain",
    )
