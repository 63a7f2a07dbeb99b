"""A pod's volumes -> files that travel, what the runner has to make or check on the node, and mounts for containers.

The place of a volume in the pod's folder at the site::

    volumes/<name>/          ConfigMaps and emptyDirs; of an emptyDir in memory, a link into the node's /dev/shm
    secret/volumes/<name>/   Secrets, projected and downwardAPI volumes, which hold tokens; removed when the job ends
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

from remote_slurm.config import UnsupportedVolumes, VolumeConfig
from remote_slurm.domain.plan.file_transfer import FileTransfer
from remote_slurm.domain.plan.fragment import PlanFragment
from remote_slurm.domain.plan.hidden_words import expanded
from remote_slurm.domain.plan.mounts import CheckedSource, Mount, refuse_bind_syntax, target_of
from remote_slurm.domain.plan.projections import (
    File,
    Projection,
    below,
    config_map_files,
    downward_files,
    folders_above,
    projected_files,
    secret_files,
)
from remote_slurm.domain.plan.pvc import claim_pattern
from remote_slurm.domain.pod.expansion import unresolved_references
from remote_slurm.domain.pod.limits import check_files, check_path
from remote_slurm.domain.pod.model import (
    ClaimVolume,
    Container,
    CreateRequest,
    EmptyDirVolume,
    HostPathVolume,
    Volume,
    VolumeMount,
)
from remote_slurm.domain.pod.quantity import quantity, whole
from remote_slurm.domain.shell import Call, Hidden, text_of
from remote_slurm.errors import InvalidRequest

_KINDS = ("configMap", "secret", "projected", "downwardAPI", "emptyDir", "hostPath", "persistentVolumeClaim")
_HOST_PATH_TYPES = frozenset(
    ("", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice")
)


@dataclass
class Collected:
    """The files, calls and checks of one volume.

    `on_disk` is an emptyDir that is not in memory. `is_elsewhere`: the source is a link to a folder outside the pod's
    folder. `allowed` are the folders that must contain a hostPath. `calls` are made once, before any container starts.
    `checks` too, and again before later containers, since an earlier one could have put a link in the place of what
    was checked.
    """

    source: str
    files: list[File] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    checks: list[Call] = field(default_factory=list)
    read_only: bool = False
    on_disk: bool = False
    is_elsewhere: bool = False
    allowed: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)

    @cached_property
    def arrives(self) -> frozenset[str]:
        """The files that come with the pod, and all folders that they are in."""
        return frozenset(folders_above(file.path for file in self.files)) | {file.path for file in self.files}


@dataclass(frozen=True, slots=True)
class Volumes:
    """The volumes of a pod that a container mounts, by name.

    `left_out` has a sentence for each volume that no container gets.
    """

    collected: Mapping[str, Collected] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def fragment(self) -> PlanFragment:
        volumes = self.collected.values()
        return PlanFragment(
            files=tuple(file for each in volumes for file in each.files),
            calls=tuple(call for each in volumes for call in (*each.calls, *each.checks)),
            warnings=(*self.left_out.values(), *(warning for each in volumes for warning in each.warnings)),
        )

    @property
    def on_disk(self) -> tuple[str, ...]:
        """The names of the emptyDirs that are not in memory."""
        return tuple(name for name, each in self.collected.items() if each.on_disk)

    def checks(self, container: Container) -> list[Call]:
        """The checks that the runner repeats before a container starts after others."""
        names = {mount.name for mount in container.volume_mounts}
        return [call for name, each in self.collected.items() if name in names for call in each.checks]

    def mounts(self, container: Container, known: Mapping[str, str]) -> list[Mount]:
        """What `container` mounts, in its order; `known` is its environment, for subPathExpr. Raises InvalidRequest."""
        mounts = (each for each in container.volume_mounts if each.name not in self.left_out)
        return [self._mount(container, mount, known) for mount in mounts]

    def lacks(self, container: Container) -> list[Call]:
        """The lines that the runner writes into the log of `container`: one for each volume that it lacks."""
        names = dict.fromkeys(mount.name for mount in container.volume_mounts if mount.name in self.left_out)
        return [("lacks", self.left_out[name]) for name in names]

    def sub_paths(self, container: Container, known: Mapping[str, str]) -> list[Call]:
        """What has to be there below its volumes when `container` starts: the runner makes it where it is missing."""
        mounts = (each for each in container.volume_mounts if each.name in self.collected)
        subs = [(self.collected[each.name], each, _sub_path(container, each, known)) for each in mounts]
        return [
            ("sub_path", volume.source, sub, _shown(mount))
            for volume, mount, sub in subs
            if text_of(sub) and not _travels(volume, text_of(sub))
        ]

    def _mount(self, container: Container, mount: VolumeMount, known: Mapping[str, str]) -> Mount:
        what = _what(container, mount)
        if mount.name not in self.collected:
            raise InvalidRequest(f"{what} refers to a volume that the pod does not have")
        if not mount.mount_path.startswith("/"):
            raise InvalidRequest(f"invalid mountPath '{mount.mount_path}' of {what}: must be an absolute path")
        volume = self.collected[mount.name]
        sub = _sub_path(container, mount, known)
        folder = volume.source.rstrip("/")
        source = f"{folder}/{text_of(sub)}" if text_of(sub) else volume.source
        refuse_bind_syntax(source, what, f"{folder}/{_shown(mount)}")
        refuse_bind_syntax(mount.mount_path, what)
        check_path(mount.mount_path, what)
        checked = None
        if volume.allowed or volume.is_elsewhere or (text_of(sub) and not _travels(volume, text_of(sub))):
            checked = CheckedSource(volume.source, sub, _shown(mount), volume.allowed)
        return Mount(
            source,
            target_of(mount.mount_path),
            mount.read_only or volume.read_only,
            hidden=isinstance(sub, Hidden),
            checked=checked,
        )


def _what(container: Container, mount: VolumeMount) -> str:
    return f"volumeMount '{mount.name}' of container '{container.name}'"


def _shown(mount: VolumeMount) -> str:
    """The path below the volume as the pod writes it: without the values of variables."""
    return mount.sub_path or mount.sub_path_expr


def _sub_path(container: Container, mount: VolumeMount, known: Mapping[str, str]) -> str | Hidden:
    """The path below the volume; empty for all of it. Raises InvalidRequest."""
    what = _what(container, mount)
    if mount.sub_path and mount.sub_path_expr:
        raise InvalidRequest(f"{what} has both subPath and subPathExpr: remove one of them")
    if missing := unresolved_references(mount.sub_path_expr, known):
        raise InvalidRequest(f"invalid subPathExpr of {what}: the container's env does not have {', '.join(missing)}")
    path = mount.sub_path or expanded(mount.sub_path_expr, known)
    is_whole_volume = not PurePosixPath(text_of(path)).parts and (text_of(path) or not mount.sub_path_expr)
    if is_whole_volume:
        return ""
    normalized = below(text_of(path), what, _shown(mount))
    return Hidden(normalized) if isinstance(path, Hidden) else normalized


def _travels(volume: Collected, sub: str) -> bool:
    """Return whether the path is one of the pod's files, which no container has changed."""
    return f"{volume.source}/{sub}" in volume.arrives


def plan_volumes(
    request: CreateRequest, config: VolumeConfig, transfer: FileTransfer, *, has_workdir: bool = False
) -> Volumes:
    """Plan every volume that a container mounts; the others need not exist. Raises InvalidRequest.

    `has_workdir`: the annotation job-workdir sets the folder of emptyDirs.
    """
    mounted = request.pod.spec.mounted
    volumes = [volume for volume in request.pod.spec.volumes if volume.name in mounted]
    left_out = _left_out(volumes) if config.unsupported is UnsupportedVolumes.LEAVE_OUT else {}
    used = (volume for volume in volumes if volume.name not in left_out)
    context = _Context(request, config, transfer, has_workdir)
    collected = {volume.name: _collect(volume, context) for volume in used}
    volumes_of_pod = Volumes(collected, left_out)
    files = volumes_of_pod.fragment.files
    check_files(len(files), sum(len(file.content or b"") for file in files))
    return volumes_of_pod


def _left_out(volumes: Iterable[Volume]) -> dict[str, str]:
    return {
        each.name: f"{_of_its_kind(each)}: it is left out (UnsupportedVolumes)"
        for each in volumes
        if each.kind not in _KINDS
    }


def _of_its_kind(volume: Volume) -> str:
    return f"volume '{volume.name}' has the unsupported kind '{volume.kind}'"


@dataclass(frozen=True, slots=True)
class _Context:
    request: CreateRequest
    config: VolumeConfig
    transfer: FileTransfer
    has_workdir: bool


def _collect(volume: Volume, context: _Context) -> Collected:
    if projection := _projection(volume, context):
        return Collected(projection.folder, projection.files, read_only=True, warnings=projection.warnings)
    if volume.host_path is not None:
        return _host_path(volume, volume.host_path, context.config.allowed_host_paths)
    if volume.persistent_volume_claim is not None:
        return _claim(volume.persistent_volume_claim, context)
    if volume.kind in _KINDS:
        return _empty_dir(volume, volume.empty_dir or EmptyDirVolume(), has_workdir=context.has_workdir)
    raise InvalidRequest(f"{_of_its_kind(volume)}: must be {', '.join(_KINDS[:-1])} or {_KINDS[-1]}")


def _projection(volume: Volume, context: _Context) -> Projection | None:
    export, request, transfer = context.config.export_pod_data, context.request, context.transfer
    if volume.config_map is not None:
        _refuse_unless(export, volume, f"ConfigMap '{volume.config_map.name}'")
        return config_map_files(volume, volume.config_map, request)
    if volume.secret is not None:
        _refuse_unless(export, volume, f"Secret '{volume.secret.secret_name}'")
        transfer.check_secret(_contains_secret(volume))
        return secret_files(volume, volume.secret, request)
    if volume.downward_api is not None:
        return downward_files(volume, volume.downward_api, request)
    if volume.projected is None:
        return None
    if export and transfer.allows_secrets:
        return projected_files(volume, volume.projected, request)
    if export and any(source.secret is not None for source in volume.projected.sources):
        transfer.check_secret(_contains_secret(volume))
    why = "SecretsInScript is false, and it may hold a token" if export else "ExportPodData is false"
    empty = Projection(f"secret/volumes/{volume.name}")
    empty.warnings.append(f"projected volume '{volume.name}' stays empty, since {why}")
    return empty


def _contains_secret(volume: Volume) -> str:
    return f"volume '{volume.name}' is a Secret, or contains one"


def _refuse_unless(export: bool, volume: Volume, what: str) -> None:  # noqa: FBT001 - reads as a sentence where it is called
    if not export:
        raise InvalidRequest(
            f"volume '{volume.name}' needs {what}, which the sidecar may not send to the site: set ExportPodData: "
            "true in "
            "its configuration"
        )


def _empty_dir(volume: Volume, source: EmptyDirVolume, *, has_workdir: bool) -> Collected:
    folder = f"volumes/{volume.name}"
    collected = Collected(folder)
    if source.medium == "Memory":
        collected.calls.append(("memory_volume", volume.name))
        collected.is_elsewhere = True
    else:
        if source.medium:
            collected.warnings.append(f"emptyDir volume '{volume.name}' is on disk: unknown medium {source.medium}")
        collected.on_disk = True
        collected.is_elsewhere = has_workdir
        collected.files.append(File(folder, None, 0o700))
    limit = whole(quantity(source.size_limit or 0, f"the sizeLimit of volume '{volume.name}'"))
    if limit:
        collected.calls.append(("size_limit", volume.name, f"bytes={limit}"))
    return collected


def _host_path(volume: Volume, source: HostPathVolume, allowed: Iterable[str]) -> Collected:
    what = f"hostPath volume '{volume.name}'"
    if not source.path.startswith("/") or ".." in source.path.split("/"):
        raise InvalidRequest(f"invalid path '{source.path}' of {what}: must be absolute, without '..'")
    check_path(source.path, what)
    path = "/" + "/".join(part for part in source.path.split("/") if part not in {"", "."})
    if source.type not in _HOST_PATH_TYPES:
        known = ", ".join(sorted(_HOST_PATH_TYPES - {""}))
        raise InvalidRequest(f"invalid type '{source.type}' of {what}: must be one of {known}")
    allowed = tuple(allowed)
    if allowed and not any(PurePosixPath(path).is_relative_to(each) for each in allowed):
        raise InvalidRequest(f"path '{path}' of {what} is not allowed: AllowedHostPaths allows {', '.join(allowed)}")
    # links are followed on the node, and must not lead out of what is allowed either
    allowed = _outermost(allowed)
    return Collected(path, checks=[("host_path", source.type, path, *allowed)], allowed=allowed)


def _outermost(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Without those inside another one, which a container that mounts the outer one could replace by a link."""
    return tuple(
        each
        for each in folders
        if not any(each != other and PurePosixPath(each).is_relative_to(other) for other in folders)
    )


def _claim(source: ClaimVolume, context: _Context) -> Collected:
    claim, namespace = source.claim_name, context.request.pod.metadata.namespace
    pattern = claim_pattern(claim, context.request, context.config.persistent_volume_claims)
    path = pattern.replace("{namespace}", namespace).replace("{claim}", claim)
    constant = pattern.partition("{")[0].rpartition("/")[0]
    if path == pattern:
        calls: list[Call] = [("host_path", "Directory", path)]
    else:
        # a claim's own folder is made when it is first used, on a file system that has to be there
        calls = [("host_path", "Directory", constant or "/"), ("host_path", "DirectoryOrCreate", path)]
    return Collected(path, checks=calls, read_only=source.read_only)
