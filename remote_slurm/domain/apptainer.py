"""How Apptainer says things, and Singularity: apptainer-exec(1) and apptainer-run(1) 1.0 to 1.4, SingularityCE 3.10."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.annotations import Annotations
from remote_slurm.domain.environment import odd_entries, shell_lines
from remote_slurm.domain.images import Image
from remote_slurm.domain.messages import linked
from remote_slurm.domain.pod import Container
from remote_slurm.domain.preparing import Variables
from remote_slurm.domain.shell import quote
from remote_slurm.domain.started import Command, Line, Started
from remote_slurm.domain.volumes import Call, Mount

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

# Each of the two names complains about the other's variables. "$temporary" and "$cache" are pull.sh's and the runner's.
_PLACES = """\
case $({program} --version 2>/dev/null) in
    apptainer*) export APPTAINER_CACHEDIR="$cache/.runtime/apptainer" APPTAINER_TMPDIR="$temporary" ;;
    *) export SINGULARITY_CACHEDIR="$cache/.runtime/singularity" SINGULARITY_TMPDIR="$temporary" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Apptainer:
    """A table of words: see started.Runtime."""

    config: Config
    suffix: str = ".sif"
    inside: bool = True

    @property
    def program(self) -> Line:
        return (*shlex.split(self.config.singularity_prefix), self.config.singularity_path)

    @property
    def places(self) -> str:
        return _PLACES.format(program=quote(self.config.singularity_path))

    def variables(self, variables: Variables) -> tuple[bytes, bytes]:
        return shell_lines(variables.values), odd_entries(variables.values)

    def before(self) -> tuple[Call, ...]:
        return ()

    def unpacking(self, container: str, image: Image) -> Call:
        return ()

    def opening(self, start: Started) -> Command:
        verb = "exec" if start.container.command or start.prepared.odd_env_file else "run"
        if start.mpi_flags is None:
            return ((*self.program, verb, *_ALWAYS, *self.config.singularity_default_options),)
        return (
            (self.config.bash_path, "rank.sh", self.config.singularity_path),
            (*self.program, verb, *_ALWAYS_WITH_MPI, *self.config.singularity_default_options),
        )

    def gpu(self, vendor: str) -> Line:
        return _GPU_OPTION[vendor]

    def annotated(self, annotations: Annotations) -> Line:
        return (*annotations.mounts, *annotations.options)

    def folders(self, start: Started) -> Line:
        """Where /tmp, /var/tmp and home lie; the ranks of an MPI program have them together."""
        folder = f"scratch/{start.container.name}"
        if start.mpi_flags is None:
            return ("--workdir", folder)
        return ("--home", f"{folder}:{_TMP}", "--bind", f"{folder}:/var{_TMP}")

    def working_directory(self, start: Started) -> Line:
        """Without a word, that of the job would be looked for where nothing is hidden from the container."""
        folder = start.container.working_dir or ("" if start.mpi_flags is None else _TMP)
        return ("--pwd", folder) if folder else ()

    def environment(self, start: Started) -> Command:
        return (("--env-file", start.prepared.env_file),)

    def bind(self, mount: Mount) -> Line:
        return ("--bind", f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}")

    def image(self, start: Started) -> Line:
        return (start.image.place,)

    def command(self, start: Started) -> Line:
        container = start.container
        runscript = () if container.command or not start.prepared.odd_env_file else (_RUNSCRIPT,)
        return (*runscript, *container.command, *container.args)

    def entering(self, start: Started) -> Line:
        return ()

    def message(self, container: Container, file: str) -> tuple[Mount, ...]:
        return linked(container, file)

    def pull(self, image: Image) -> Line:
        return (*self.program, "pull", "--force", "@", image.name)

    def login(self, user: str, password: str, host: str) -> dict[str, str]:
        """Both names, since it is not known which of the two it is; only one of them looks."""
        return {
            "": "".join(
                f"export {name}_DOCKER_USERNAME={quote(user)} {name}_DOCKER_PASSWORD={quote(password)}\n"
                for name in ("APPTAINER", "SINGULARITY")
            )
        }
