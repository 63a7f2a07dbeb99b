"""Container runtimes as tables of words: how each says run, exec, bind, environment and working directory.

Facts: apptainer-exec(1) and apptainer-run(1) 1.0 to 1.4; SingularityCE 3.10 has the same options.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from remote_slurm.config import Config, ContainerRuntime
from remote_slurm.domain.pod import Container, EnvVar, Pod
from remote_slurm.domain.resources import wants_gpu
from remote_slurm.domain.shell import quote
from remote_slurm.domain.volumes import Mount
from remote_slurm.errors import Rejected

_SHELL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A container of its own instead of the user's login environment, with a root file system that can be written (in
# memory), and values that are not evaluated by a shell a second time
_ALWAYS = ("--containall", "--no-eval", "--writable-tmpfs")
_GPU_OPTION = {"": (), "nvidia.com/gpu": ("--nv",), "amd.com/gpu": ("--rocm",)}


@dataclass(frozen=True, slots=True)
class Started:
    """All that starting one container takes: its parts of the pod's folder are named relative to it."""

    container: Container
    mounts: list[Mount]
    env_file: str


Command = tuple[tuple[str, ...], ...]


def container_command(start: Started, config: Config) -> Command:
    """The words that the runner executes, grouped into lines for the reader. Raises Rejected."""
    if config.container_runtime is ContainerRuntime.NONE:
        return _on_node(start)
    return tuple(line for line in _apptainer(start, config) if line)


def _apptainer(start: Started, config: Config) -> Command:
    container = start.container
    verb = "exec" if container.command else "run"
    return (
        (
            *shlex.split(config.singularity_prefix),
            config.singularity_path,
            verb,
            *_ALWAYS,
            *config.singularity_default_options,
            *_GPU_OPTION[wants_gpu(container)],
        ),
        ("--pwd", container.working_dir) if container.working_dir else (),
        ("--env-file", start.env_file),
        *(("--bind", _bind(mount)) for mount in start.mounts),
        (image(container, config),),
        (*container.command, *container.args),
    )


def _bind(mount: Mount) -> str:
    return f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}"


def image(container: Container, config: Config) -> str:
    """What the runtime is asked to run: an absolute path, or anything with a scheme, stays as it is.

    Raises Rejected where there is no image.
    """
    name = container.image
    if not name:
        raise Rejected(f"container '{container.name}' has no image")
    if name.startswith("/") or "://" in name:
        return name
    return f"{config.image_prefix or 'docker://'}{name}"


def _on_node(start: Started) -> Command:
    container = start.container
    if not container.command:
        raise Rejected(
            f"container '{container.name}' has no command, and with ContainerRuntime: none there is no image "
            "to take one from: give it one"
        )
    return (
        ("on_node", start.env_file, container.working_dir),
        (*container.command, *container.args),
    )


def env_lines(container: Container, pod: Pod) -> str:
    """The container's environment, one quoted assignment a line: apptainer's --env-file and a shell read both."""
    return "".join(
        f"{_env_name(item, container)}={quote(_env_value(item, container, pod))}\n" for item in container.env
    )


def _env_name(item: EnvVar, container: Container) -> str:
    if not _SHELL_NAME.fullmatch(item.name):
        raise Rejected(
            f"the environment variable '{item.name}' of container '{container.name}' cannot be passed through a shell: "
            "use letters, digits and '_' only"
        )
    return item.name


def _env_value(item: EnvVar, container: Container, pod: Pod) -> str:
    """The value; the Virtual Kubelet leaves `valueFrom` only where it could not resolve it."""
    if item.value or item.value_from is None:
        return item.value
    source: dict[str, Any] = next(iter(item.value_from.values()), {}) or {}
    fields = {"metadata.name": pod.metadata.name, "metadata.namespace": pod.metadata.namespace,
              "metadata.uid": pod.metadata.uid}  # fmt: skip
    if source.get("fieldPath") in fields:
        return fields[source["fieldPath"]]
    if source.get("optional"):
        return ""
    raise Rejected(
        f"the value of environment variable '{item.name}' of container '{container.name}' did not come with the pod"
    )
