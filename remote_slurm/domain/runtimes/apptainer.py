"""Apptainer and Singularity: apptainer-exec(1) and apptainer-run(1) 1.0 to 1.4, SingularityCE 3.10."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from remote_slurm.config import Config, RuntimeConfig
from remote_slurm.domain.plan.annotation_mounts import RuntimeAnnotations
from remote_slurm.domain.plan.container_setup import EncodedVariables, Variables
from remote_slurm.domain.plan.mounts import Mount
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.plan.termination_message import is_below_dev, message_file
from remote_slurm.domain.pod.environment import carried_entries, is_odd, own_entries
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.runtimes.container_runtime import ContainerRuntime
from remote_slurm.domain.runtimes.container_start import Command, ContainerStart, Line
from remote_slurm.domain.runtimes.images import Image
from remote_slurm.domain.shell import Call, Program, Variable, quote, quote_escaped

# INFO and WARNING lines are not the container's output; errors are still printed
_SILENT = "--silent"
_WRITABLE = "--writable-tmpfs"
# A container of its own instead of the user's login environment, with a root file system that can be written (in
# memory), and values that are not evaluated by a shell a second time
_ALWAYS = ("--containall", "--no-eval", _WRITABLE)
# The same, but for the IPC namespace, which is the pod's if the node allows that (job/ipc.sh)
_ALWAYS_IN_POD = ("--contain", "--cleanenv", "--pid", Variable("ipc_option", "--ipc"), "--no-eval", _WRITABLE)
# The ranks of an MPI program share memory and see each other's processes, as those of one container would, and they
# reach the devices of the node's network: --contain would give each a /dev of its own
_ALWAYS_WITH_MPI = ("--cleanenv", "--no-mount=tmp,cwd,hostfs", "--no-eval", _WRITABLE)
# Apptainer's interpreter runs each /.singularity.d/env/*.sh inside the container before the command, in this order: the
# image's own, then this one. An image folder that Apptainer has not built has none of them; if there is one,
# Apptainer leaves it to them to read what it adds itself, such as APPTAINERENV_* (action_script.sh of Apptainer 1.4).
# Of --nv, 99-base.sh knows where the libraries are bound.
_ENV_SCRIPT = "/.singularity.d/env/99-pod.sh"
_ENV_BEGIN = """\
if ! test -f /.singularity.d/env/99-base.sh; then
    source /.inject-apptainer-env.sh 2>/dev/null || source /.inject-singularity-env.sh 2>/dev/null || :
fi
"""
# Without --nv there are no libraries, and 99-base.sh names their folder all the same.
# Apptainer puts folders of its own behind the PATH that the script of the image sets: see job/apptainer.sh.
_IMAGE_PATH = 'test -z "${_image_path:-}" || export PATH="$_image_path"\n'
_ENV_END = """\
_libs=
for _lib in /.singularity.d/libs/*; do
    if test -e "$_lib"; then _libs=yes; fi
    break
done
case ":${LD_LIBRARY_PATH:-}:$_libs" in
*:/.singularity.d/libs:*yes) ;;
*yes) export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs" ;;
:/.singularity.d/libs:) unset LD_LIBRARY_PATH ;;
*:/.singularity.d/libs:) export LD_LIBRARY_PATH="${LD_LIBRARY_PATH%:/.singularity.d/libs}" ;;
esac
test -z "${_image_path:-}" || export PATH="$_image_path"
unset _lib _libs _image_path
"""
# Variables that Apptainer sets in a container, and no kubelet does. After the environment scripts, its interpreter
# removes variables that are empty, and restores those that are unset (restore_env). Then it sets PS1, PROMPT_COMMAND
# and *_ENVIRONMENT. APPTAINER_CONTAINER and APPTAINER_NAME are read-only, as are SINGULARITY_CONTAINER and
# SINGULARITY_NAME in SingularityCE.
_OWN_VARIABLES = (
    "USER_PATH", "APPTAINER_APPNAME", "APPTAINER_BIND", "APPTAINER_COMMAND", "APPTAINER_NO_EVAL", "SINGULARITY_APPNAME",
    "SINGULARITY_BIND", "SINGULARITY_COMMAND", "SINGULARITY_NO_EVAL", "SINGULARITY_CONTAINER", "SINGULARITY_NAME",
)  # fmt: skip
# --containall is these and --cleanenv. The interpreter of Apptainer does not take names that no shell can hold from
# APPTAINERENV_*, but it passes on what it inherits.
_PASSING: Mapping[str, Line] = {
    **dict.fromkeys(("--containall", "-C"), ("--contain", "--ipc", "--pid")),
    **dict.fromkeys(("--cleanenv", "-e"), ()),
}
_TMP = "/tmp"  # noqa: S108 - of the container
# What `run` runs; `exec` of it is the same, but by the image's own /bin/sh
_RUNSCRIPT = "/.singularity.d/runscript"
_GPU_OPTION = {"": (), "nvidia.com/": ("--nv",), "amd.com/": ("--rocm",)}

# Each of the two names complains about the other's variables. "$temporary" and "$cache" are pull.sh's and the runner's.
_CACHE_SETTINGS = """\
case $({program} --version 2>/dev/null) in
    apptainer*) export APPTAINER_CACHEDIR="$cache/.runtime/apptainer" APPTAINER_TMPDIR="$temporary" ;;
    *) export SINGULARITY_CACHEDIR="$cache/.runtime/singularity" SINGULARITY_TMPDIR="$temporary" ;;
esac
"""

_MESSAGE = "/.singularity.d/termination-log"
_LINK_SCRIPT = "/.singularity.d/env/99-termination-log.sh"
_LINK = "/bin/ln -sf {message} {path} 2>/dev/null || /usr/bin/ln -sf {message} {path} 2>/dev/null || :\n"


@dataclass(frozen=True)
class Apptainer(ContainerRuntime):
    names: ClassVar[tuple[str, ...]] = ("singularity", "apptainer")
    annotations: ClassVar[RuntimeAnnotations] = RuntimeAnnotations(
        "singularity", mount_options=("--bind", "-B"), separator=r",(?=/)"
    )
    image_suffix: ClassVar[str] = ".sif"
    shell_part: ClassVar[str] = "apptainer"
    reserved_paths: ClassVar[frozenset[str]] = frozenset({"/.singularity.d", "/.singularity.d/env"})
    # the runtime itself needs these, and passes none of them on
    kept_variables: ClassVar[str] = "(PATH|HOME|LD_LIBRARY_PATH)$|APPTAINER|SINGULARITY"
    has_node_time_zone: ClassVar[bool] = True
    passes_gpu_variables: ClassVar[bool] = True
    user_namespaces_hint: ClassVar[str] = "apptainer needs them unless it was installed setuid: ask the site for either"

    @classmethod
    def configure(cls, config: Config) -> Apptainer:
        return cls(
            RuntimeConfig.from_config(
                config,
                path_key="SingularityPath",
                path=config.singularity_path,
                default_path=config.container_runtime,
                prefix=config.singularity_prefix,
                default_options=config.singularity_default_options,
            )
        )

    def cache_settings(self) -> str:
        return _CACHE_SETTINGS.format(program=quote(self.config.path))

    def encode_variables(self, variables: Variables) -> EncodedVariables:
        """Write a script for Apptainer's own interpreter, which reads an --env-file twice, unescaped."""
        values = variables.values
        lines = (f"export {name}={quote_escaped(value)}\n" for name, value in values.items() if not is_odd(name))
        end = _ENV_END.replace(_IMAGE_PATH, "") if "PATH" in values else _ENV_END
        empty = "; ".join(f"{name}=" for name in _OWN_VARIABLES if name not in values)
        script = f"{_ENV_BEGIN}{''.join(lines)}{end}{{ {empty}; }} 2>/dev/null\n".encode()
        return EncodedVariables(script, carried_entries(values), own_entries(values))

    def start_command(self, start: ContainerStart) -> Command:
        verb = "exec" if start.container.command or start.setup.env_words else "run"
        shared = self._shares_ipc(start)
        always: Line = _ALWAYS_IN_POD if shared else _ALWAYS if start.mpi_flags is None else _ALWAYS_WITH_MPI
        if start.is_read_only:
            always = tuple(option for option in always if option != _WRITABLE)
        options = (*always, *self.config.default_options)
        opening: Line = (*self.program, _SILENT, verb, *_passing(options, start))
        if shared:
            return (("in_pod_ipc",), opening)
        if start.mpi_flags is None:
            return (opening,)
        return ((self.config.bash_path, "-p", Program("rank.sh"), self.config.path), opening)

    def _shares_ipc(self, start: ContainerStart) -> bool:
        """--fakeroot needs ids that a user namespace of the account alone does not have.

        Commands of the pod's annotation run in front of Apptainer, and not in that namespace.
        """
        options = {*self.annotation_options(start.annotations), *self.config.default_options}
        return start.shares_memory and not start.annotations.commands and not options & {"--fakeroot", "-f"}

    def ipc_calls(self) -> tuple[Call, ...]:
        return (("pod_ipc", self.config.path),)

    def gpu_options(self, vendor: str) -> Line:
        return _GPU_OPTION[vendor]

    def scratch_options(self, start: ContainerStart) -> Line:
        """Mount /tmp, /var/tmp and the home folder; the ranks of an MPI program share them."""
        folder = f"scratch/{start.container.name}"
        if start.mpi_flags is None:
            return ("--no-mount", "tmp,home") if start.is_read_only else ("--workdir", folder)
        return ("--home", f"{folder}:{_TMP}", "--bind", f"{folder}:/var{_TMP}")

    def hostname_options(self, start: ContainerStart) -> Line:
        return ("--hostname", start.hostname) if start.mpi_flags is None else ()

    def image_config_calls(self, start: ContainerStart) -> tuple[Call, ...]:
        """Only an image that is built from an OCI image has the OCI configuration: other SIF files have a runscript."""
        has_own_dir = start.container.working_dir or start.mpi_flags is not None
        read: Call = ("image_config", start.image.place, "own" if has_own_dir else "image", *self.program)
        needs_program = not start.container.command and not start.container.args
        if needs_program and start.image.name.startswith("docker://"):
            return (read, ("image_gives_command", start.image.name))
        return (read,)

    def working_dir_call(self, start: ContainerStart) -> Call:
        return "work_in_image", start.container.working_dir

    def working_dir_options(self, start: ContainerStart) -> Line:
        """Without the option, Apptainer uses the job's working directory if the container sees the node's folders."""
        folder = start.container.working_dir or ("" if start.mpi_flags is None else _TMP)
        return ("--pwd", folder) if folder else ()

    def environment_options(self, start: ContainerStart) -> Command:
        return (self.mount_options(Mount(start.setup.env_file, _ENV_SCRIPT, read_only=True)),)

    def mount_options(self, mount: Mount) -> Line:
        return ("--bind", f"{mount.source}:{mount.target}{':ro' if mount.read_only else ''}")

    def image_argument(self, start: ContainerStart) -> Line:
        return (start.image.place,)

    def command_arguments(self, start: ContainerStart) -> Line:
        container = start.container
        runscript = () if container.command or not start.setup.env_words else (_RUNSCRIPT,)
        return (*runscript, *start.setup.command, *start.setup.args)

    def message_mounts(self, container: Container) -> tuple[Mount, ...]:
        """Bind the file, or for a path below /dev a file beside it, and a script that creates a link.

        A contained container has a /dev of its own, in which nothing is bound. The script runs inside before the
        command, with the `ln` of the image. Measured with Apptainer 1.4 on SIF files and folders; without `ln` there is
        no message.
        """
        file, path = message_file(container), container.termination_message_path
        if not is_below_dev(path):
            return (Mount(file, path, read_only=False),)
        return (Mount(file, _MESSAGE, read_only=False), Mount(_link_script(container), _LINK_SCRIPT, read_only=True))

    def message_files(self, container: Container) -> tuple[File, ...]:
        path = container.termination_message_path
        if not is_below_dev(path):
            return ()
        text = _LINK.format(message=_MESSAGE, path=quote(path))
        return (File(_link_script(container), text.encode(), 0o600),)

    def pull_command(self, image: Image) -> Line:
        return (*self.program, "pull", "--force", "@", image.name)

    def login_files(self, user: str, password: str, host: str) -> Mapping[str, str]:
        """Set the variables of both programs: which of them the site has is unknown, and each reads its own only."""
        return {
            "": "".join(
                f"export {name}_DOCKER_USERNAME={quote(user)} {name}_DOCKER_PASSWORD={quote(password)}\n"
                for name in ("APPTAINER", "SINGULARITY")
            )
        }


def _link_script(container: Container) -> str:
    return f"messages/links/{container.name}.sh"


def _passing(options: Line, start: ContainerStart) -> Line:
    """Options with which Apptainer passes its own environment on, if the carrier has put variables there."""
    if not start.setup.carried_file:
        return options
    return tuple(word for option in options for word in _PASSING.get(str(option), (option,)))
