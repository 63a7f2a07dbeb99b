"""Which mounts job/mounts.sh makes inside of others."""

from __future__ import annotations

import pytest

from remote_slurm.domain.plan.inner_mounts import stage_mounts
from remote_slurm.domain.plan.mounts import CheckedSource, Mount
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import container, plan, pod


def mount(source: str, target: str, *, read_only: bool = False, checked: CheckedSource | None = None) -> Mount:
    return Mount(source, target, read_only, checked=checked)


def test_mounts_side_by_side_are_the_runtimes() -> None:
    mounts = (mount("volumes/a", "/a"), mount("volumes/b", "/ab"), mount("volumes/c", "/"))
    staged = stage_mounts(mounts, "main", follows_links=True)
    assert (staged.named, staged.checked, staged.inner) == (mounts, (), ())


def test_the_deepest_mount_comes_first_and_the_runtime_gets_the_outer_one() -> None:
    mounts = (
        mount("volumes/c", "/v/a/../b/c/d", read_only=True),
        mount("volumes/a", "//v/", read_only=True),
        mount("volumes/b", "/v/./b"),
        mount("hosts", "/etc/hosts"),
    )
    staged = stage_mounts(mounts, "main", follows_links=True)
    assert [(each.source, each.target) for each in staged.named] == [
        (".runner/mounts/main/1", "//v/"),
        ("hosts", "/etc/hosts"),
    ]
    assert [each.words() for each in staged.checked] == [("--mount", f"volumes/{name}", "", "") for name in "cab"]
    assert [each.words() for each in staged.inner] == [
        ("--inner", "0", "2", "c/d", "/v/a/../b/c/d", "ro"),
        ("--inner", "2", "1", "b", "/v/./b", "rw"),
    ]


def test_a_runtime_that_follows_no_links_makes_its_mount_points_itself() -> None:
    checked = CheckedSource("volumes/a", "sub", "sub", ())
    mounts = (mount("volumes/a", "/v", checked=checked), mount("volumes/b", "/v/b"))
    staged = stage_mounts(mounts, "main", follows_links=False)
    assert [each.source for each in staged.named] == [".runner/mounts/main/0", "volumes/b"]
    assert (staged.checked, staged.inner) == ((checked,), ())


@pytest.mark.parametrize("path", ["/.singularity.d", "/.singularity.d/env", "//x/../.singularity.d/env/"])
def test_apptainers_own_folder_is_refused(path: str) -> None:
    mounting = container(volumeMounts=[{"name": "a", "mountPath": path}])
    body = pod(mounting, volumes=[{"name": "a", "emptyDir": {}}])
    with pytest.raises(InvalidRequest, match="apptainer has its own files there"):
        plan(body, settings={"ContainerRuntime": "apptainer"})
    assert plan(body, settings={"ContainerRuntime": "podman"})
