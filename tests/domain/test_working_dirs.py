"""workingDir: in a volume or in the image, and made if it does not exist."""

from typing import Any

import pytest

from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import container, plan, pod


def calls(folder: str, *mounts: dict[str, Any], runtime: str = "apptainer") -> list[tuple[Any, ...]]:
    """The runner's calls for a container that works in `folder`."""
    body = pod(
        container(workingDir=folder, image="/images/i.sif", volumeMounts=list(mounts)),
        volumes=[{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {"path": "/data"}}],
    )
    (planned,) = plan(body, settings={"ContainerRuntime": runtime}).containers
    return [call for call in planned.calls if str(call[0]).startswith("work_in")]


@pytest.mark.parametrize("folder", ["/foo/bar", "/foo//bar/", "/no/../foo/./bar", "//foo/bar"])
def test_a_folder_of_the_image_is_made_if_it_is_missing(folder: str) -> None:
    assert calls(folder) == [("work_in_image", "/foo/bar")]


V, BELOW = {"name": "v", "mountPath": "/work"}, {"name": "w", "mountPath": "/work/data/"}


def test_in_a_volume_the_runner_makes_it() -> None:
    assert calls("/work/a/b", V) == [("work_in_volume", "volumes/v", "a/b")]
    assert calls("/work/data/b", V, BELOW) == [("work_in_volume", "/data", "b")]
    assert calls("/work/a", V | {"readOnly": True}) == []
    for path in ("/x/../work", "//work/", "/./work"):  # Apptainer would make it, by way of a link in the volume
        assert calls("/work/a/b", V | {"mountPath": path}) == [("work_in_volume", "volumes/v", "a/b")]


@pytest.mark.parametrize("folder", ["/work", "/work/data", "/"])
def test_the_place_of_a_volume_is_there(folder: str) -> None:
    assert calls(folder, V, BELOW) == []


def test_enroot_and_none_need_no_call() -> None:
    assert calls("/foo", runtime="enroot") == calls("/foo", runtime="none") == []


def test_a_relative_one_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="invalid workingDir of container 'main': 'foo' must be an absolute path"):
        calls("foo")
