"""Volumes that are files: configMap, secret, projected and downwardAPI, with the paths and modes that the pod asks for.

interLink sends ConfigMaps and Secrets whole: `items`, modes and `optional` are applied here. A projected or downwardAPI
volume comes as a ConfigMap of the volume's name that holds path -> content; what the Virtual Kubelet leaves out of it
(Secrets, resources, single labels) is filled in here where it can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from remote_slurm.domain.pod.downward_api import item_value
from remote_slurm.domain.pod.limits import check_files, check_path
from remote_slurm.domain.pod.model import (
    ConfigMapVolume,
    CreateRequest,
    DownwardItem,
    DownwardVolume,
    KeyToPath,
    NamedSource,
    ProjectedSource,
    ProjectedVolume,
    SecretVolume,
    Volume,
)
from remote_slurm.errors import InvalidRequest

# Of a path, in a sentence
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class File:
    """A file, or a folder where `content` is None, below the pod's folder."""

    path: str
    content: bytes | None = field(repr=False)
    mode: int


@dataclass(slots=True)
class Projection:
    """One volume's files, `folder` first."""

    folder: str
    files: list[File] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _folders: set[str] = field(default_factory=set)
    _size: int = 0

    def __post_init__(self) -> None:
        self.files.insert(0, File(self.folder, None, 0o700))

    def add(self, path: str, content: bytes, mode: int, what: str) -> None:
        """Raises InvalidRequest if the path cannot be, or the volume gets too large."""
        file = File(f"{self.folder}/{below(path, what)}", content, mode)
        self.files.append(file)
        self._size += len(content)
        for _ in folders_above([file.path], self._folders):
            check_files(len(self.files) + len(self._folders), self._size)
        check_files(len(self.files) + len(self._folders), self._size)


def below(path: str, what: str, shown: str | None = None) -> str:
    """`path`, normalized. Raises InvalidRequest where it leaves its volume, with `shown` in place of the path."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise InvalidRequest(
            f"invalid path '{(path if shown is None else shown)[:_SHOWN]}' of {what}: must be relative, without '..'"
        )
    return check_path("/".join(parts), what, shown)


def folders_above(paths: Iterable[str], known: set[str] | None = None) -> Iterator[str]:
    """Return each folder of the relative `paths` once, after its own parent folders.

    Folders that are in `known` are left out, and the others are put there.
    """
    known = set() if known is None else known
    for path in paths:
        new = []
        folder = path.rpartition("/")[0]
        while folder and folder not in known:
            known.add(folder)
            new.append(folder)
            folder = folder.rpartition("/")[0]
        yield from reversed(new)


def config_map_files(volume: Volume, source: ConfigMapVolume, request: CreateRequest) -> Projection:
    """Raises InvalidRequest where the ConfigMap or a key is missing and may not be."""
    return _keys(
        Projection(f"volumes/{volume.name}"), volume, source, _sent_config_map(request, source.name),
        f"ConfigMap '{source.name}'",
    )  # fmt: skip


def secret_files(volume: Volume, source: SecretVolume, request: CreateRequest) -> Projection:
    """Raises InvalidRequest where the Secret or a key is missing and may not be."""
    return _keys(
        Projection(f"secret/volumes/{volume.name}"), volume, source, _sent_secret(request, source.secret_name),
        f"Secret '{source.secret_name}'",
    )  # fmt: skip


def _keys(
    projection: Projection,
    volume: Volume,
    source: ConfigMapVolume | SecretVolume,
    found: dict[str, bytes] | None,
    what: str,
) -> Projection:
    if found is None and not source.optional:
        raise InvalidRequest(
            f"volume '{volume.name}' needs {what}, which the create request does not contain: create it in the pod's "
            "namespace, or set optional: true"
        )
    for item in _items(source.items, found or {}):
        if found is not None and item.key in found:
            mode = source.default_mode if item.mode is None else item.mode
            projection.add(item.path, found[item.key], mode, what)
        elif not source.optional:
            raise InvalidRequest(f"volume '{volume.name}' needs key '{item.key}' of {what}, which has no such key")
    return projection


def _items(items: tuple[KeyToPath, ...], found: Iterable[str]) -> tuple[KeyToPath, ...]:
    return items or tuple(KeyToPath(key=key, path=key) for key in found)


def downward_files(volume: Volume, source: DownwardVolume, request: CreateRequest) -> Projection:
    """Raises InvalidRequest for a field that a Slurm job cannot know."""
    projection = Projection(f"secret/volumes/{volume.name}")
    sent = _sent_projection(request, volume.name) or {}
    what = f"volume '{volume.name}'"
    for item in source.items:
        content = _downward(item, sent, request, what)
        projection.add(item.path, content, source.default_mode if item.mode is None else item.mode, what)
    return projection


def _downward(item: DownwardItem, sent: dict[str, bytes], request: CreateRequest, what: str) -> bytes:
    return sent[item.path] if item.path in sent else item_value(request.pod, item, what).encode()


def projected_files(volume: Volume, source: ProjectedVolume, request: CreateRequest) -> Projection:
    """What came with the pod, what can be filled in, and a warning for each part that is missing."""
    projection = Projection(f"secret/volumes/{volume.name}")
    what = f"projected volume '{volume.name}'"
    sent = _sent_projection(request, volume.name)
    parts = [part for each in source.sources for part in _parts(each, request, volume)]
    contents = {part.path: part.content for part in parts if part.content is not None} | (sent or {})
    modes = {part.path: part.mode for part in parts if part.mode is not None}
    for path, content in contents.items():
        projection.add(path, content, modes.get(path, source.default_mode), what)
    projection.warnings += [
        f"{what} lacks {part.name}, which the create request does not contain"
        for part in parts
        if part.path not in contents and not part.optional
    ]
    if sent is None and not contents and not projection.warnings:
        projection.warnings.append(f"{what} stays empty, since the create request contains no data for it")
    return projection


@dataclass(frozen=True, slots=True)
class _Part:
    """A file that a source of a projected volume promises; `content` is what is known of it besides what came."""

    name: str
    path: str
    content: bytes | None = field(default=None, repr=False)
    mode: int | None = None
    optional: bool = False


def _parts(source: ProjectedSource, request: CreateRequest, volume: Volume) -> Iterator[_Part]:
    if source.config_map is not None:
        yield from _named(source.config_map, _sent_config_map(request, source.config_map.name), "ConfigMap")
    if source.secret is not None:
        found = _sent_secret(request, source.secret.name)
        yield from _named(source.secret, found, "Secret")
        if found is None and not source.secret.items:
            yield _Part(f"Secret '{source.secret.name}'", "", optional=source.secret.optional)
    if source.service_account_token is not None:
        yield _Part("the service account's token", source.service_account_token.path)
    sent = _sent_projection(request, volume.name) or {}
    for item in source.downward_api.items if source.downward_api is not None else ():
        content = _downward(item, sent, request, f"volume '{volume.name}'")
        yield _Part(f"'{item.path}'", item.path, content, item.mode)


def _named(source: NamedSource, found: dict[str, bytes] | None, kind: str) -> Iterator[_Part]:
    """Without items, which files there should be is known only where a volume of its own brought the source too."""
    for item in _items(source.items, found or {}):
        content = None if found is None else found.get(item.key)
        yield _Part(f"'{item.path}' of {kind} '{source.name}'", item.path, content, item.mode, source.optional)


# --- what came ---


def _sent_config_map(request: CreateRequest, name: str) -> dict[str, bytes] | None:
    found = request.config_maps.get(name)
    return found.content() if found else None


def _sent_secret(request: CreateRequest, name: str) -> dict[str, bytes] | None:
    found = request.secrets.get(name)
    return found.content() if found else None


def _sent_projection(request: CreateRequest, volume: str) -> dict[str, bytes] | None:
    found = request.projected_volume_maps.get(volume)
    return found.content() if found else None
