"""A pod's volumes -> files that travel, and mounts for its containers.

Where a volume lies in the pod's folder at the site::

    volumes/<name>/          ConfigMaps and emptyDirs
    secret/volumes/<name>/   Secrets and projected volumes, which hold tokens; removed when the job ends
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from remote_slurm.domain.pod import (
    ConfigMapVolume,
    Container,
    CreateRequest,
    KeyToPath,
    SecretVolume,
    Volume,
    VolumeMount,
)
from remote_slurm.errors import Rejected


@dataclass(frozen=True, slots=True)
class File:
    """A file, or a folder where `content` is None, below the pod's folder."""

    path: str
    content: bytes | None = field(repr=False)
    mode: int


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` is absolute (a hostPath) or below the pod's folder; `target` is the path in the container."""

    source: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class HostPath:
    """A path that has to be checked or made on the node before any container starts."""

    path: str
    type: str


@dataclass(frozen=True, slots=True)
class Volumes:
    """What the volumes of one pod come to."""

    files: tuple[File, ...] = ()
    host_paths: tuple[HostPath, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    read_only: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    def mounts(self, container: Container) -> list[Mount]:
        """What `container` mounts, in its order. Raises Rejected where it names a volume that the pod lacks."""
        return [self._mount(container, mount) for mount in container.volume_mounts]

    def _mount(self, container: Container, mount: VolumeMount) -> Mount:
        what = f"volumeMount '{mount.name}' of container '{container.name}'"
        if mount.name not in self.sources:
            raise Rejected(f"{what} names a volume that the pod does not have")
        if not mount.mount_path.startswith("/"):
            raise Rejected(f"{what} has the mountPath '{mount.mount_path}', which is not absolute")
        source = self.sources[mount.name]
        if mount.sub_path:
            source = f"{source}/{_below(mount.sub_path, what)}"
        _refuse_bind_syntax(source, what)
        _refuse_bind_syntax(mount.mount_path, what)
        return Mount(source, mount.mount_path, mount.read_only or mount.name in self.read_only)


@dataclass(slots=True)
class _Collected:
    """What one volume comes to, before all of them are put together."""

    source: str
    files: list[File] = field(default_factory=list)
    host_path: HostPath | None = None
    read_only: bool = False
    warnings: list[str] = field(default_factory=list)


def plan_volumes(request: CreateRequest, *, export_pod_data: bool) -> Volumes:
    """Every volume that a container mounts; the others need not exist. Raises Rejected."""
    containers = (*request.pod.spec.init_containers, *request.pod.spec.containers)
    mounted = {mount.name for container in containers for mount in container.volume_mounts}
    collected = {
        volume.name: _collect(volume, request, export=export_pod_data)
        for volume in request.pod.spec.volumes
        if volume.name in mounted
    }
    return Volumes(
        files=tuple(file for each in collected.values() for file in each.files),
        host_paths=tuple(each.host_path for each in collected.values() if each.host_path),
        sources={name: each.source for name, each in collected.items()},
        read_only=frozenset(name for name, each in collected.items() if each.read_only),
        warnings=tuple(warning for each in collected.values() for warning in each.warnings),
    )


def _collect(volume: Volume, request: CreateRequest, *, export: bool) -> _Collected:
    if volume.config_map is not None:
        return _config_map(volume, volume.config_map, request, export=export)
    if volume.secret is not None:
        return _secret(volume, volume.secret, request, export=export)
    if volume.projected is not None:
        return _projected(volume, request, export=export)
    if volume.host_path is not None:
        path = volume.host_path.path
        if not path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise Rejected(f"hostPath volume '{volume.name}' has the path '{path}': it must be absolute, without '..'")
        return _Collected(path, host_path=HostPath(path, volume.host_path.type))
    if volume.empty_dir is not None or volume.kind == "emptyDir":
        source = f"volumes/{volume.name}"
        return _Collected(source, [File(source, None, 0o700)])
    raise Rejected(f"volume '{volume.name}' is of the kind '{volume.kind}', which cannot be given to a Slurm job yet")


def _config_map(volume: Volume, source: ConfigMapVolume, request: CreateRequest, *, export: bool) -> _Collected:
    what = f"ConfigMap '{source.name}'"
    _refuse_unless(export, volume, what)
    sent = (each for data in request.container for each in data.config_maps)
    found = next((each.content() for each in sent if each.metadata.name == source.name), None)
    return _keys(volume, source, found, _Place(f"volumes/{volume.name}", what))


def _secret(volume: Volume, source: SecretVolume, request: CreateRequest, *, export: bool) -> _Collected:
    what = f"Secret '{source.secret_name}'"
    _refuse_unless(export, volume, what)
    sent = (each for data in request.container for each in data.secrets)
    found = next((each.content() for each in sent if each.metadata.name == source.secret_name), None)
    return _keys(volume, source, found, _Place(f"secret/volumes/{volume.name}", what))


def _projected(volume: Volume, request: CreateRequest, *, export: bool) -> _Collected:
    folder = f"secret/volumes/{volume.name}"
    sent = (each for data in request.container for each in data.projected_volume_maps)
    found = next((each.content() for each in sent if each.metadata.name == volume.name), None)
    collected = _Collected(folder, [File(folder, None, 0o700)], read_only=True)
    mode = volume.projected.default_mode & 0o777 if volume.projected else 0o644
    if not export:
        collected.warnings.append(f"projected volume '{volume.name}' stays empty, since ExportPodData is false")
    elif found is None:
        collected.warnings.append(f"projected volume '{volume.name}' stays empty, since no data came with the pod")
    else:
        what = f"projected volume '{volume.name}'"
        collected.files += [File(f"{folder}/{_below(key, what)}", data, mode) for key, data in found.items()]
    return collected


@dataclass(frozen=True, slots=True)
class _Place:
    folder: str
    what: str


def _keys(
    volume: Volume, source: ConfigMapVolume | SecretVolume, found: dict[str, bytes] | None, place: _Place
) -> _Collected:
    collected = _Collected(place.folder, [File(place.folder, None, 0o700)], read_only=True)
    if found is None:
        if not source.optional:
            raise Rejected(f"{place.what}, which volume '{volume.name}' needs, did not come with the pod")
        found = {}
    collected.files += _projection(source, found, place)
    return collected


def _projection(source: ConfigMapVolume | SecretVolume, found: dict[str, bytes], place: _Place) -> Iterator[File]:
    for item in source.items or tuple(KeyToPath(key=key, path=key) for key in found):
        if item.key in found:
            mode = source.default_mode if item.mode is None else item.mode
            yield File(f"{place.folder}/{_below(item.path, place.what)}", found[item.key], mode & 0o777)
        elif not source.optional:
            raise Rejected(f"{place.what} has no key '{item.key}'")


def _refuse_unless(export: bool, volume: Volume, what: str) -> None:  # noqa: FBT001 - reads as a sentence where it is called
    if not export:
        raise Rejected(f"volume '{volume.name}' needs {what}, and ExportPodData is false: it may not leave Kubernetes")


def _below(path: str, what: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise Rejected(f"{what} has the path '{path}', which must stay below its volume")
    return "/".join(parts)


def _refuse_bind_syntax(path: str, what: str) -> None:
    if any(character in path for character in ":,\\\n\0"):
        raise Rejected(f"{what}: the path '{path}' holds one of : , \\ or a newline, which --bind cannot express")
