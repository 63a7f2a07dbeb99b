"""Enroot: doc/cmd/import.md, create.md and start.md of enroot 3.4 to 4.0.

`enroot start` hands words to a command script, /etc/rc, which is the image's own entry point. A script of ours takes
its place: it sets the variables, so that no value is in an argument, and then runs the command, or /etc/rc.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from remote_slurm.config import Config, RuntimeConfig
from remote_slurm.domain.plan.annotation_mounts import RuntimeAnnotations
from remote_slurm.domain.plan.container_setup import EncodedVariables, Variables
from remote_slurm.domain.plan.mounts import Mount
from remote_slurm.domain.plan.termination_message import is_below_dev, message_file
from remote_slurm.domain.pod.environment import is_shell_name, own_entries, shell_lines
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.runtimes.container_runtime import ContainerRuntime
from remote_slurm.domain.runtimes.container_start import Command, ContainerStart, Line
from remote_slurm.domain.runtimes.image_names import DOCKER_HUB
from remote_slurm.domain.runtimes.images import Image, repository, tag
from remote_slurm.domain.shell import Array, Call, quote
from remote_slurm.errors import InvalidRequest

# The driver and all devices that the job may open. `gpu_words` are --env NAME=VALUE for the variables that select the
# job's GPUs (job/gpus.sh): NAME alone would be an empty variable where the node has none, which hides them all.
_OF_JOB = Array("gpu_words")
_GPU_OPTION: Mapping[str, Line] = {
    "": (),
    "nvidia.com/": ("--env", "NVIDIA_VISIBLE_DEVICES=all", _OF_JOB),
    "amd.com/": (_OF_JOB,),
}
_WRITABLE = ("--rw", "-w")
_CACHE_SETTINGS = """\
export ENROOT_CACHE_PATH="$cache/.runtime/enroot" ENROOT_TEMP_PATH="$temporary"
export ENROOT_DATA_PATH="$temporary/enroot-data" ENROOT_RUNTIME_PATH="$temporary/enroot-run"
"""
# Variables with names of ours hold NAME=VALUE until a program that can set any name is there
_RENAMED = "REMOTE_SLURM_ODD_"
_CARRY = """\
if command -v perl >/dev/null 2>&1; then
    exec {env}perl -e 'for (grep /^REMOTE_SLURM_ODD_/, keys %ENV) {{
        my ($name, $value) = split /=/, delete $ENV{{$_}}, 2; $ENV{{$name}} = $value;
    }}
    exec {{ $ARGV[0] }} @ARGV or exit 127' -- {command}
elif command -v python3 >/dev/null 2>&1; then
    exec {env}python3 -I -c 'import os, sys
for each in [name for name in os.environb if name.startswith(b"REMOTE_SLURM_ODD_")]:
    name, _, value = os.environb.pop(each).partition(b"=")
    os.environb[name] = value
os.execvp(sys.argv[1], sys.argv[1:])' {command}
fi
echo "Error: the image has neither perl nor python3, which environment variables need whose names no shell can hold" >&2
exit 125
"""
# What an fstab entry of Enroot may contain beside ro and rw
_FSTAB = frozenset({"none", "bind", "rbind", "rw", "x-create=auto", "x-create=dir", "x-create=file"})
# What fstab(5) would take for something else
_ESCAPES = {"\\": "\\134", " ": "\\040", "\t": "\\011", "\n": "\\012"}


@dataclass(frozen=True)
class Enroot(ContainerRuntime):
    """Containers have the IPC and UTS namespaces and the /dev of the node, and the workingDir that the script makes."""

    names: ClassVar[tuple[str, ...]] = ("enroot",)
    annotations: ClassVar[RuntimeAnnotations] = RuntimeAnnotations(
        "enroot", mount_options=("--mount", "-m"), mount_flags=_FSTAB
    )
    image_suffix: ClassVar[str] = ".sqsh"
    shell_part: ClassVar[str] = "enroot"
    has_node_shared_memory: ClassVar[bool] = True
    has_node_time_zone: ClassVar[bool] = True
    passes_gpu_variables: ClassVar[bool] = True
    user_namespaces_hint: ClassVar[str] = "enroot needs them: ask the site to allow them"

    @classmethod
    def configure(cls, config: Config) -> Enroot:
        return cls(
            RuntimeConfig.from_config(
                config,
                path_key="EnrootPath",
                path=config.enroot_path,
                default_path=config.container_runtime,
                prefix=config.enroot_prefix,
                default_options=config.enroot_default_options,
            )
        )

    def cache_settings(self) -> str:
        return _CACHE_SETTINGS

    def encode_variables(self, variables: Variables) -> EncodedVariables:
        """Write the script that replaces /etc/rc.

        enroot-switchroot drops names that no shell can hold: perl or python3 of the image gives them to the command.
        """
        container, values = variables.container, variables.values
        own = [quote(entry) for entry in own_entries(values)]
        env = " ".join(["env", *own, ""]) if own else ""
        carried = [(name, value) for name, value in values.items() if not is_shell_name(name)]
        renamed = {f"{_RENAMED}{number}": f"{name}={value}" for number, (name, value) in enumerate(carried)}
        folder = quote(container.working_dir)
        place = f"mkdir -p {folder} 2>/dev/null\ncd {folder} || exit 125\n" if container.working_dir else ""
        if container.working_dir and not container.command:
            raise InvalidRequest(
                f"container '{container.name}' has a workingDir and no command: enroot starts the entry point of an "
                "image in the image's own working directory, so set command"
            )
        command = '"$@"' if container.command else '/bin/sh /etc/rc "$@"'
        last = _CARRY.format(env=env, command=command) if carried else f"exec {env}{command}\n"
        return EncodedVariables(
            b"set -a\n" + shell_lines(values) + shell_lines(renamed) + f"set +a\n{place}{last}".encode()
        )

    def storage_calls(self) -> tuple[Call, ...]:
        return (("enroot_storage",),)

    def unpack_call(self, container: str, image: Image) -> Call:
        return ("enroot_container", container, image.place, *self.program)

    def start_command(self, start: ContainerStart) -> Command:
        options = self.config.default_options
        if start.is_read_only:
            options = tuple(option for option in options if option not in _WRITABLE)
        return ((*self.program, "start", *options),)

    def gpu_options(self, vendor: str) -> Line:
        return _GPU_OPTION[vendor]

    def environment_options(self, start: ContainerStart) -> Command:
        return (("--rc", start.setup.env_file),)

    def mount_options(self, mount: Mount) -> Line:
        source = mount.source if mount.source.startswith("/") else f"./{mount.source}"
        options = f"x-create=auto,rbind{',ro' if mount.read_only else ''}"
        return ("--mount", f"{_escaped(source)}:{_escaped(mount.target)}:none:{options}")

    def image_argument(self, start: ContainerStart) -> Line:
        return (start.container.name,)

    def message_mounts(self, container: Container) -> tuple[Mount, ...]:
        """Mount no file below /dev, which is the node's."""
        path = container.termination_message_path
        return () if is_below_dev(path) else (Mount(message_file(container), path, read_only=False),)

    def pull_command(self, image: Image) -> Line:
        return (*self.program, "import", "--output", "@", _uri(image))

    def login_files(self, user: str, password: str, host: str) -> Mapping[str, str]:
        """In the form of netrc(5), as curl reads it; a `$` in front of the password would be shell.

        Enroot looks for the registry's line, and curl for the one of the host that gives tokens, which may be another
        host that the image does not name (Docker Hub, GitLab): the default is for that host.
        """
        if re.match('["#]', user) or re.match('["#$]', password) or re.search(r"\s", user + password):
            raise InvalidRequest(
                f"invalid login for {host} in imagePullSecrets: enroot requires a user and password without blanks, "
                'and without ", # or $ at the beginning'
            )
        machine = {"docker.io": "registry-1.docker.io"}.get(host, host).partition(":")[0]
        login = f"login {user} password {password}\n"
        return {
            "": 'export ENROOT_CONFIG_PATH="${login%.sh}"\n',
            "/.credentials": f"machine {machine} {login}default {login}",
        }


def _escaped(path: str) -> str:
    return "".join(_ESCAPES.get(each, each) for each in path)


def _uri(image: Image) -> str:
    """`docker://REGISTRY#IMAGE:TAG`, which every version understands; all know Docker Hub without its name."""
    if not image.name.startswith("docker://"):
        raise InvalidRequest(f"image {image.name} cannot be pulled by enroot: its name must begin with docker://")
    host, path = repository(image)
    if host == DOCKER_HUB:
        return f"docker://{path}{tag(image)}"
    return f"docker://{host}#{path}{tag(image)}"
