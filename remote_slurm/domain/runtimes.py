"""Container runtimes as tables of words: how each says run, exec, bind, environment and working directory.

Facts: apptainer-exec(1) and apptainer-run(1) 1.0 to 1.4; SingularityCE 3.10 has the same options.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from remote_slurm.config import Config, ContainerRuntime
from remote_slurm.domain.annotations import Annotations
from remote_slurm.domain.pod import Container
from remote_slurm.domain.preparing import Prepared
from remote_slurm.domain.resources import gpu_vendor
from remote_slurm.domain.shell import Variable, Word
from remote_slurm.domain.volumes import Mount
from remote_slurm.errors import Rejected

# A container of its own instead of the user's login environment, with a root file system that can be written (in
# memory), and values that are not evaluated by a shell a second time
_ALWAYS = ("--containall", "--no-eval", "--writable-tmpfs")
# The ranks of an MPI program share memory and see each other's processes, as those of one container would, and they
# reach the devices of the node's network: --contain would give each a /dev of its own
_ALWAYS_WITH_MPI = ("--cleanenv", "--no-mount=tmp,cwd,hostfs", "--no-eval", "--writable-tmpfs")
_TMP = "/tmp"  # noqa: S108 - of the container
# What `run` runs; `exec` of it is the same, but by the image's own /bin/sh
_RUNSCRIPT = "/.singularity.d/runscript"
_GPU_OPTION = {"": (), "nvidia.com/": ("--nv",), "amd.com/": ("--rocm",)}


@dataclass(frozen=True, slots=True)
class Started:
    """All that starting one container takes: its parts of the pod's folder are named relative to it."""

    prepared: Prepared
    annotations: Annotations

    @property
    def container(self) -> Container:
        return self.prepared.container

    @property
    def mpi_flags(self) -> tuple[str, ...] | None:
        """Init containers prepare things once, not once for each rank."""
        return None if self.prepared.init else self.annotations.mpi_flags


Line = tuple[Word, ...]
Command = tuple[Line, ...]


def container_command(start: Started, config: Config) -> Command:
    """The words that the runner executes, grouped into lines for the reader. Raises Rejected."""
    on_node = config.container_runtime is ContainerRuntime.NONE
    lines = _on_node(start) if on_node else (*_in_front(start), *_apptainer(start, config))
    return _with_odd_names(start, tuple(line for line in lines if line))


def _with_odd_names(start: Started, lines: Command) -> Command:
    """Variables that no shell can hold reach the command, which is the last line, as words of `env`.

    The runner reads them from a file and puts them there, so that they stand in no script.
    """
    if not start.prepared.odd_env_file:
        return lines
    *before, command = lines
    before.append(("env",))
    place = sum(len(line) for line in before)
    return (("with_env", start.prepared.odd_env_file, str(place)), *before, command)


def _in_front(start: Started) -> Command:
    """What the pod's annotations put in front of the program; `prefixed` is a function of job/annotations.sh."""
    prefixed: Line = ("prefixed", start.annotations.commands) if start.annotations.commands else ()
    if start.mpi_flags is None:
        return (prefixed,)
    return (prefixed, ("mpiexec", "-np", Variable("SLURM_NTASKS", "1"), *start.mpi_flags))


def _apptainer(start: Started, config: Config) -> Command:
    container = start.container
    command = (*container.command, *container.args)
    verb = "exec" if container.command else "run"
    if verb == "run" and start.prepared.odd_env_file:
        verb, command = "exec", (_RUNSCRIPT, *command)
    return (
        (config.bash_path, "rank.sh", config.singularity_path) if start.mpi_flags is not None else (),
        (
            *shlex.split(config.singularity_prefix),
            config.singularity_path,
            verb,
            *(_ALWAYS if start.mpi_flags is None else _ALWAYS_WITH_MPI),
            *config.singularity_default_options,
            *_GPU_OPTION[gpu_vendor(container)],
        ),
        (*start.annotations.mounts, *start.annotations.options),
        _scratch(start),
        _working_dir(start),
        ("--env-file", start.prepared.env_file),
        *(("--bind", _bind(mount)) for mount in start.prepared.mounts),
        (image(container, start.annotations.image_root or config.image_prefix),),
        command,
    )


def _scratch(start: Started) -> Line:
    """Where /tmp, /var/tmp and home lie; the ranks of an MPI program have them together."""
    folder = f"scratch/{start.container.name}"
    if start.mpi_flags is None:
        return ("--workdir", folder)
    return ("--home", f"{folder}:{_TMP}", "--bind", f"{folder}:/var{_TMP}")


def _working_dir(start: Started) -> Line:
    """Without a word, that of the job would be looked for where nothing is hidden from the container."""
    folder = start.container.working_dir or ("" if start.mpi_flags is None else _TMP)
    return ("--pwd", folder) if folder else ()


def _bind(mount: Mount) -> str:
    return f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}"


def image(container: Container, prefix: str) -> str:
    """What the runtime is asked to run: an absolute path, or anything with a scheme, stays as it is.

    Raises Rejected where there is no image.
    """
    name = container.image
    if not name:
        raise Rejected(f"container '{container.name}' has no image")
    if name.startswith("/") or "://" in name:
        return name
    return f"{prefix or 'docker://'}{name}"


def _on_node(start: Started) -> Command:
    container = start.container
    if not container.command:
        raise Rejected(
            f"container '{container.name}' has no command, and with ContainerRuntime: none there is no image "
            "to take one from: give it one"
        )
    return (
        ("on_node", start.prepared.env_file, container.working_dir),
        *_in_front(start),
        (*container.command, *container.args),
    )
