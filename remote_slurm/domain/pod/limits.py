"""How much one pod may hold, so that preparing its job takes a bounded time and a bounded amount of memory.

Each limit is one of Linux or of Kubernetes, or far above what pods of batch jobs have. All loops over a pod are linear
in what these limits bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from remote_slurm.errors import InvalidRequest

CONTAINERS = 500
VOLUMES = 250
PULL_SECRETS = 50
# Registries that all of them name
LOGINS = 500
# Entries of any other list or object of a create, and levels of lists and objects in each other
ENTRIES = 10_000
LEVELS = 64
# Files and folders of a pod, which HPC file systems count, and what is in them
FILES = 10_000
FILE_BYTES = 64 * 1024 * 1024
# TotalAnnotationSizeLimitB of Kubernetes, and room for the mesh script that the Virtual Kubelet adds
ANNOTATION_BYTES = 512 * 1024
# An annotation that is split into words
OPTION_CHARACTERS = 16 * 1024
# What Linux takes as arguments and environment of a program: a quarter of the default stack limit (execve(2))
ARGUMENT_BYTES = 2 * 1024 * 1024
# The same of all containers together, probes included: a variable may be named in each of them
POD_ARGUMENT_BYTES = 32 * 1024 * 1024
# NAME_MAX of Linux. PATH_MAX is 4096, and DataRootFolder and the pod's folder come in front
COMPONENT_BYTES = 255
PATH_BYTES = 2048
# A path or a name in a registry
IMAGE_CHARACTERS = 2048


def check_shape(body: Any) -> None:
    """Raises InvalidRequest if a list or an object of a create has too many entries, or too many levels."""
    level: list[tuple[str, Any]] = [("the body", body)] if isinstance(body, dict | list) else []
    for _ in range(LEVELS):
        level = list(_below(level))
        if not level:
            return
    raise InvalidRequest(f"the body of create is nested too deeply: {LEVELS} levels are allowed")


def _below(level: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for name, value in level:
        if len(value) > ENTRIES:
            raise InvalidRequest(f"the body of create has {len(value)} entries in {name[:100]}: {ENTRIES} are allowed")
        entries = value.items() if isinstance(value, dict) else ((name, each) for each in value)
        yield from (entry for entry in entries if isinstance(entry[1], dict | list))


def check_counts(containers: int, volumes: int, pull_secrets: int, annotations: int) -> None:
    """`annotations` is the size of all of them in characters. Raises InvalidRequest."""
    for found, most, what in (
        (containers, CONTAINERS, "containers, init containers included"),
        (volumes, VOLUMES, "volumes"),
        (pull_secrets, PULL_SECRETS, "imagePullSecrets"),
        (annotations, ANNOTATION_BYTES, "characters in its annotations"),
    ):
        if found > most:
            raise InvalidRequest(f"the pod has {found} {what}: {most} are allowed")


def check_arguments(size: int, container: str) -> None:
    """Raises InvalidRequest if the words and variables of a container are more than Linux takes."""
    if size > ARGUMENT_BYTES:
        raise InvalidRequest(
            f"the command, arguments and environment of container '{container}' are larger than "
            f"{ARGUMENT_BYTES >> 20} MiB, the limit of Linux: use a file in a volume"
        )


def check_pod_arguments(size: int) -> None:
    """Raises InvalidRequest if the words and variables of all containers are too much."""
    if size > POD_ARGUMENT_BYTES:
        raise InvalidRequest(
            f"the commands, probes and environments of the pod's containers are larger than "
            f"{POD_ARGUMENT_BYTES >> 20} MiB: use files in a volume"
        )


def check_files(count: int, size: int) -> None:
    """Raises InvalidRequest if the files of a pod are too many, or have too many bytes in all."""
    if count > FILES:
        raise InvalidRequest(f"the pod's volumes have more than {FILES} files and folders: use a hostPath")
    if size > FILE_BYTES:
        raise InvalidRequest(
            f"the pod's ConfigMaps, Secrets and other files are larger than {FILE_BYTES >> 20} MiB: use a hostPath"
        )


def check_path(path: str, what: str, shown: str | None = None) -> str:
    """The path. Raises InvalidRequest if no file on Linux can have it, with `shown` in place of the path."""
    long = next((part for part in path.split("/") if len(part.encode()) > COMPONENT_BYTES), "")
    size = len(path.encode())
    if long:
        raise InvalidRequest(
            f"{what} has a path with a name of {len(long.encode())} bytes in it, {(shown or long)[:20]}...: a name has "
            f"at most {COMPONENT_BYTES}"
        )
    if size > PATH_BYTES:
        raise InvalidRequest(f"{what} has a path of {size} bytes, {(shown or path)[:20]}...: {PATH_BYTES} are allowed")
    return path
