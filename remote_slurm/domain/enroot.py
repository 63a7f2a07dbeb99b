"""How Enroot says things: doc/cmd/import.md, create.md and start.md of enroot 3.4 to 4.0.

`enroot start` hands words to a command script, /etc/rc, which is the image's own entry point. A script of ours takes
its place: it brings the variables, whose values stand in no argument then, and goes on to the command, or to /etc/rc.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.annotations import Annotations
from remote_slurm.domain.environment import is_odd, shell_lines
from remote_slurm.domain.images import DOCKER_HUB, Image, repository, tag
from remote_slurm.domain.messages import is_below_dev
from remote_slurm.domain.pod import Container
from remote_slurm.domain.preparing import Variables
from remote_slurm.domain.shell import Array, quote
from remote_slurm.domain.started import Command, Line, Started
from remote_slurm.domain.volumes import Call, Mount
from remote_slurm.errors import Rejected

# The driver and all devices that the job may open. `gpu_words` are --env NAME=VALUE for what tells which ones are its
# own (job/node.sh): NAME alone would be an empty variable where the node has none, which hides them all.
_OF_JOB = Array("gpu_words")
_GPU_OPTION: Mapping[str, Line] = {
    "": (),
    "nvidia.com/": ("--env", "NVIDIA_VISIBLE_DEVICES=all", _OF_JOB),
    "amd.com/": (_OF_JOB,),
}
_PLACES = """\
export ENROOT_CACHE_PATH="$cache/.runtime/enroot" ENROOT_TEMP_PATH="$temporary"
export ENROOT_DATA_PATH="$temporary/enroot-data" ENROOT_RUNTIME_PATH="$temporary/enroot-run"
"""
# What fstab(5) would take for something else
_ESCAPES = {"\\": "\\134", " ": "\\040", "\t": "\\011", "\n": "\\012"}


@dataclass(frozen=True, slots=True)
class Enroot:
    """A table of words: see started.Runtime."""

    config: Config
    suffix: str = ".sqsh"
    inside: bool = True

    @property
    def program(self) -> Line:
        return (*shlex.split(self.config.enroot_prefix), self.config.enroot_path)

    @property
    def places(self) -> str:
        return _PLACES

    def variables(self, variables: Variables) -> tuple[bytes, bytes]:
        """The script that takes the place of /etc/rc."""
        container, values = variables.container, variables.values
        odd = [quote(f"{name}={value}") for name, value in values.items() if is_odd(name)]
        env = " ".join(["env", *odd, ""]) if odd else ""
        place = f"cd {quote(container.working_dir)} || exit 125\n" if container.working_dir else ""
        if container.working_dir and not container.command:
            raise Rejected(
                f"container '{container.name}' has a workingDir and no command: with enroot the image's own entry "
                "point goes to the image's own folder, so give it a command"
            )
        last = f'exec {env}"$@"\n' if container.command else f'exec {env}/bin/sh /etc/rc "$@"\n'
        return b"set -a\n" + shell_lines(values) + f"set +a\n{place}{last}".encode(), b""

    def before(self) -> tuple[Call, ...]:
        return (("enroot_storage",),)

    def unpacking(self, container: str, image: Image) -> Call:
        return ("enroot_container", container, image.place, *self.program)

    def opening(self, start: Started) -> Command:
        return ((*self.program, "start", *self.config.enroot_default_options),)

    def gpu(self, vendor: str) -> Line:
        return _GPU_OPTION[vendor]

    def annotated(self, annotations: Annotations) -> Line:
        return (*annotations.enroot_mounts, *annotations.enroot_options)

    def folders(self, start: Started) -> Line:
        return ()

    def working_directory(self, start: Started) -> Line:
        return ()

    def environment(self, start: Started) -> Command:
        return (("--rc", start.prepared.env_file),)

    def bind(self, mount: Mount) -> Line:
        source = mount.source if mount.source.startswith("/") else f"./{mount.source}"
        options = f"x-create=auto,rbind{',ro' if mount.read_only else ''}"
        return ("--mount", f"{_escaped(source)}:{_escaped(mount.target)}:none:{options}")

    def image(self, start: Started) -> Line:
        return (start.container.name,)

    def command(self, start: Started) -> Line:
        return (*start.container.command, *start.container.args)

    def entering(self, start: Started) -> Line:
        return ()

    def message(self, container: Container, file: str) -> tuple[Mount, ...]:
        """Its /dev is the node's."""
        path = container.termination_message_path
        return () if is_below_dev(path) else (Mount(file, path, read_only=False),)

    def pull(self, image: Image) -> Line:
        return (*self.program, "import", "--output", "@", _uri(image))

    def login(self, user: str, password: str, host: str) -> dict[str, str]:
        """In the form of netrc(5), as curl reads it; a `$` in front of the password would be shell.

        Enroot looks for the registry's line, and curl for the one of the host that gives tokens, which may be another
        one (Docker Hub, GitLab) that nobody has named: the default is for that.
        """
        if re.match('["#]', user) or re.match('["#$]', password) or re.search(r"\s", user + password):
            raise Rejected(
                f'the login for {host} in imagePullSecrets holds blanks, or begins with one of " # $, which enroot '
                "cannot take"
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
        raise Rejected(f"image {image.name} cannot be pulled by enroot: its name must begin with docker://")
    if "#" in image.name:
        return image.name
    host, path = repository(image)
    if host == DOCKER_HUB:
        return f"docker://{path}{tag(image)}"
    return f"docker://{host}#{path}{tag(image)}"
