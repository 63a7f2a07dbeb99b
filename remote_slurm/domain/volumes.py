"""A pod's volumes -> files that travel, what the runner has to make or check on the node, and mounts for containers.

Where a volume lies in the pod's folder at the site::

    volumes/<name>/          ConfigMaps and emptyDirs; of an emptyDir in memory, a link into the node's /dev/shm
    secret/volumes/<name>/   Secrets, projected and downwardAPI volumes, which hold tokens; removed when the job ends
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from remote_slurm.config import Config, UnsupportedVolumes
from remote_slurm.domain.claims import claim_pattern
from remote_slurm.domain.expansion import expand, unknown_names
from remote_slurm.domain.pod import (
    ClaimVolume,
    Container,
    CreateRequest,
    EmptyDirVolume,
    HostPathVolume,
    Volume,
    VolumeMount,
)
from remote_slurm.domain.projections import (
    File,
    Projection,
    below,
    config_map_files,
    downward_files,
    projected_files,
    secret_files,
)
from remote_slurm.domain.quantity import quantity, whole
from remote_slurm.domain.shell import Word
from remote_slurm.errors import Rejected

Call = tuple[Word, ...]
"""A function of the runner and its arguments."""

_KINDS = ("configMap", "secret", "projected", "downwardAPI", "emptyDir", "hostPath", "persistentVolumeClaim")
_HOST_PATH_TYPES = frozenset(
    ("", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket", "CharDevice", "BlockDevice")
)


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` is absolute (a hostPath) or below the pod's folder; `target` is the path in the container."""

    source: str
    target: str
    read_only: bool


@dataclass(slots=True)
class Collected:
    """What one volume comes to.

    `on_disk` is an emptyDir that is not in memory. `calls` are made once, before any container starts. `checks` too,
    and again before later containers, since an earlier one could have put a link in the place of what was checked.
    """

    source: str
    files: list[File] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    checks: list[Call] = field(default_factory=list)
    read_only: bool = False
    on_disk: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Volumes:
    """What the volumes of one pod come to, by name: of those only that a container mounts.

    `left_out` are those that no container gets, with a sentence each.
    """

    collected: Mapping[str, Collected] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[File, ...]:
        return tuple(file for each in self.collected.values() for file in each.files)

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.left_out.values(), *(warning for each in self.collected.values() for warning in each.warnings))

    @property
    def calls(self) -> tuple[Call, ...]:
        """What the runner does before anything starts."""
        return tuple(call for each in self.collected.values() for call in (*each.calls, *each.checks))

    @property
    def on_disk(self) -> tuple[str, ...]:
        """The names of the emptyDirs that are not in memory."""
        return tuple(name for name, each in self.collected.items() if each.on_disk)

    def checks(self, container: Container) -> list[Call]:
        """What the runner looks at again before a container starts that comes after others."""
        names = {mount.name for mount in container.volume_mounts}
        return [call for name, each in self.collected.items() if name in names for call in each.checks]

    def mounts(self, container: Container, known: Mapping[str, str]) -> list[Mount]:
        """What `container` mounts, in its order; `known` is its environment, for subPathExpr. Raises Rejected."""
        mounts = (each for each in container.volume_mounts if each.name not in self.left_out)
        return [self._mount(container, mount, known) for mount in mounts]

    def lacks(self, container: Container) -> list[Call]:
        """What the runner says in the log of `container`: each volume that it does without."""
        names = dict.fromkeys(mount.name for mount in container.volume_mounts if mount.name in self.left_out)
        return [("lacks", self.left_out[name]) for name in names]

    def sub_paths(self, container: Container, known: Mapping[str, str]) -> list[Call]:
        """What has to be there below its volumes when `container` starts: the runner makes it where it is missing."""
        mounts = (each for each in container.volume_mounts if each.name in self.collected)
        subs = [(self.collected[each.name], _sub_path(container, each, known)) for each in mounts]
        return [("sub_path", each.source, sub) for each, sub in subs if sub and not _travels(each, sub)]

    def _mount(self, container: Container, mount: VolumeMount, known: Mapping[str, str]) -> Mount:
        what = _what(container, mount)
        if mount.name not in self.collected:
            raise Rejected(f"{what} names a volume that the pod does not have")
        if not mount.mount_path.startswith("/"):
            raise Rejected(f"{what} has the mountPath '{mount.mount_path}', which is not absolute")
        volume = self.collected[mount.name]
        sub = _sub_path(container, mount, known)
        source = f"{volume.source.rstrip('/')}/{sub}" if sub else volume.source
        refuse_bind_syntax(source, what)
        refuse_bind_syntax(mount.mount_path, what)
        return Mount(source, mount.mount_path, mount.read_only or volume.read_only)


def _what(container: Container, mount: VolumeMount) -> str:
    return f"volumeMount '{mount.name}' of container '{container.name}'"


def _sub_path(container: Container, mount: VolumeMount, known: Mapping[str, str]) -> str:
    """The path below the volume; empty for all of it. Raises Rejected."""
    what = _what(container, mount)
    if mount.sub_path and mount.sub_path_expr:
        raise Rejected(f"{what} has both a subPath and a subPathExpr: one of them has to go")
    if missing := unknown_names(mount.sub_path_expr, known):
        raise Rejected(f"{what} names {', '.join(missing)} in its subPathExpr, which the container's env does not have")
    path = mount.sub_path or expand(mount.sub_path_expr, known)
    return below(path, what) if path or mount.sub_path_expr else ""


def _travels(volume: Collected, sub: str) -> bool:
    """Whether the path arrives with the pod's files, so that nobody else had a hand in it."""
    path = f"{volume.source}/{sub}"
    return any(file.path == path or file.path.startswith(f"{path}/") for file in volume.files)


def refuse_bind_syntax(path: str, what: str) -> None:
    if any(character in path for character in ":,\\\n\0"):
        raise Rejected(f"{what}: the path '{path}' holds one of : , \\ or a newline, which --bind cannot express")


def plan_volumes(request: CreateRequest, config: Config) -> Volumes:
    """Every volume that a container mounts; the others need not exist. Raises Rejected."""
    mounted = request.pod.spec.mounted
    volumes = [volume for volume in request.pod.spec.volumes if volume.name in mounted]
    left_out = _left_out(volumes) if config.unsupported_volumes is UnsupportedVolumes.LEAVE_OUT else {}
    used = (volume for volume in volumes if volume.name not in left_out)
    return Volumes({volume.name: _collect(volume, request, config) for volume in used}, left_out)


def _left_out(volumes: Iterable[Volume]) -> dict[str, str]:
    return {
        each.name: f"{_of_its_kind(each)}: it is left out, as UnsupportedVolumes says"
        for each in volumes
        if each.kind not in _KINDS
    }


def _of_its_kind(volume: Volume) -> str:
    return f"volume '{volume.name}' is of the kind '{volume.kind}', which cannot be given to a Slurm job"


def _collect(volume: Volume, request: CreateRequest, config: Config) -> Collected:
    if projection := _projection(volume, request, config):
        return Collected(projection.folder, projection.files, read_only=True, warnings=projection.warnings)
    if volume.host_path is not None:
        return _host_path(volume, volume.host_path, config.allowed_host_paths)
    if volume.persistent_volume_claim is not None:
        return _claim(volume.persistent_volume_claim, request, config)
    if volume.kind in _KINDS:
        return _empty_dir(volume, volume.empty_dir or EmptyDirVolume())
    raise Rejected(f"{_of_its_kind(volume)}: {', '.join(_KINDS[:-1])} and {_KINDS[-1]} can")


def _projection(volume: Volume, request: CreateRequest, config: Config) -> Projection | None:
    export = config.export_pod_data
    if volume.config_map is not None:
        _refuse_unless(export, volume, f"ConfigMap '{volume.config_map.name}'")
        return config_map_files(volume, volume.config_map, request)
    if volume.secret is not None:
        _refuse_unless(export, volume, f"Secret '{volume.secret.secret_name}'")
        _refuse_in_script(volume, config)
        return secret_files(volume, volume.secret, request)
    if volume.downward_api is not None:
        return downward_files(volume, volume.downward_api, request)
    if volume.projected is None:
        return None
    if export and _may_carry_secrets(config):
        return projected_files(volume, volume.projected, request)
    why = "SecretsInScript is false, and it may hold a token" if export else "ExportPodData is false"
    empty = Projection(f"secret/volumes/{volume.name}")
    empty.warnings.append(f"projected volume '{volume.name}' stays empty, since {why}")
    return empty


def _may_carry_secrets(config: Config) -> bool:
    return config.shared_fs or config.secrets_in_script


def _refuse_in_script(volume: Volume, config: Config) -> None:
    if not _may_carry_secrets(config):
        raise Rejected(
            f"volume '{volume.name}' is a Secret, and with SHARED_FS: false it would travel in the batch script, which "
            "lies in Slurm's own state: SecretsInScript: true in the sidecar's configuration allows that"
        )


def _refuse_unless(export: bool, volume: Volume, what: str) -> None:  # noqa: FBT001 - reads as a sentence where it is called
    if not export:
        raise Rejected(f"volume '{volume.name}' needs {what}, and ExportPodData is false: it may not leave Kubernetes")


def _empty_dir(volume: Volume, source: EmptyDirVolume) -> Collected:
    folder = f"volumes/{volume.name}"
    collected = Collected(folder)
    if source.medium == "Memory":
        collected.calls.append(("memory_volume", volume.name))
    else:
        if source.medium:
            collected.warnings.append(
                f"emptyDir volume '{volume.name}' lies on disk: medium {source.medium} is unknown"
            )
        collected.on_disk = True
        collected.files.append(File(folder, None, 0o700))
    limit = whole(quantity(source.size_limit or 0, f"the sizeLimit of volume '{volume.name}'"))
    if limit:
        collected.calls.append(("size_limit", volume.name, str(limit)))
    return collected


def _host_path(volume: Volume, source: HostPathVolume, allowed: Iterable[str]) -> Collected:
    what = f"hostPath volume '{volume.name}' has the"
    if not source.path.startswith("/") or ".." in source.path.split("/"):
        raise Rejected(f"{what} path '{source.path}': it must be absolute, without '..'")
    path = "/" + "/".join(part for part in source.path.split("/") if part not in {"", "."})
    if source.type not in _HOST_PATH_TYPES:
        known = ", ".join(sorted(_HOST_PATH_TYPES - {""}))
        raise Rejected(f"{what} type '{source.type}', which Kubernetes does not know: {known} it does")
    allowed = tuple(allowed)
    if allowed and not any(PurePosixPath(path).is_relative_to(each) for each in allowed):
        raise Rejected(f"{what} path '{path}', and AllowedHostPaths allows only what is in {', '.join(allowed)}")
    # links are followed on the node, and must not lead out of what is allowed either
    return Collected(path, checks=[("host_path", source.type, path, *allowed)])


def _claim(source: ClaimVolume, request: CreateRequest, config: Config) -> Collected:
    claim, namespace = source.claim_name, request.pod.metadata.namespace
    pattern = claim_pattern(claim, request, config.persistent_volume_claims)
    path = pattern.replace("{namespace}", namespace).replace("{claim}", claim)
    constant = pattern.partition("{")[0].rpartition("/")[0]
    if path == pattern:
        calls: list[Call] = [("host_path", "Directory", path)]
    else:
        # a claim's own folder is made when it is first used, on a file system that has to be there
        calls = [("host_path", "Directory", constant or "/"), ("host_path", "DirectoryOrCreate", path)]
    return Collected(path, checks=calls, read_only=source.read_only)
