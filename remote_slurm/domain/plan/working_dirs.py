"""workingDir: the runner makes one that does not exist, in a volume or in the image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from remote_slurm.domain.plan.mounts import Mount, can_be_bound
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.runtimes.container_start import ContainerStart
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.shell import Call, Hidden
from remote_slurm.errors import InvalidRequest


def working_dir_calls(start: ContainerStart, runtime: Runtime) -> Iterator[Call]:
    """The runner's calls before the container starts. Raises InvalidRequest."""
    container = start.container
    if not container.working_dir:
        return
    folder = _checked(container)
    mounts = start.setup.mounts
    if not runtime.starts_containers or any(PurePosixPath(each.target).is_relative_to(folder) for each in mounts):
        return
    above = [each for each in mounts if folder.is_relative_to(each.target)]
    if not above:
        call = runtime.working_dir_call(start)
        if call and can_be_bound(container.working_dir):
            yield call
        return
    mount = max(above, key=lambda each: len(PurePosixPath(each.target).parts))
    if not mount.read_only:
        yield _in_volume(mount, str(folder.relative_to(mount.target)))


def _checked(container: Container) -> PurePosixPath:
    if not container.working_dir.startswith("/") or "\0" in container.working_dir:
        raise InvalidRequest(
            f"invalid workingDir of container '{container.name}': '{container.working_dir}' must be an absolute path"
        )
    return PurePosixPath(container.working_dir)


def _in_volume(mount: Mount, path: str) -> Call:
    return "work_in_volume", Hidden(mount.source) if mount.hidden else mount.source, path
