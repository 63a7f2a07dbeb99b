"""How Podman says things (podman-run(1) 3.4 to 5.4), and podman-hpc (1.1), which adds to it.

Podman runs rootless, in a storage of the job's own: see job/images.sh. The account is root in the container, which is
what its files belong to; a process that becomes somebody else there would need ids of its own (subuid). podman-hpc has
a storage of its own for all jobs of an account on a node, so that names of containers there have the pod's in front.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from remote_slurm.config import Config, ContainerRuntime
from remote_slurm.domain.annotations import Annotations
from remote_slurm.domain.images import Image
from remote_slurm.domain.pod import Container
from remote_slurm.domain.preparing import Variables
from remote_slurm.domain.started import Command, Line, Started
from remote_slurm.domain.volumes import Call, Mount
from remote_slurm.errors import Rejected

# No cgroups and no network of its own: Slurm has seen to the first, and the job has the node's
_ALWAYS = (
    "--rm", "--cgroups=disabled", "--network=host", "--user=0:0", "--security-opt=label=disable", "--http-proxy=false",
    "--pull=never",
)  # fmt: skip
# Each rank is a container; they share memory, see each other's processes, and learn from mpiexec who they are
_WITH_MPI: Line = (
    "--pid=host", "--ipc=host", "--env=PMI*", "--env=OMPI_*", "--env=PRTE_*", "--env=HYDI_*", "--env=MPI*",
    "--env=I_MPI_*",
)  # fmt: skip
_GPU_OPTION: Mapping[str, Line] = {
    "": (),
    "nvidia.com/": ("--device=nvidia.com/gpu=all", "--env=CUDA_VISIBLE_DEVICES"),
    "amd.com/": ("--device=/dev/kfd", "--device=/dev/dri", "--group-add=keep-groups", "--env=ROCR_VISIBLE_DEVICES"),
}
# podman reads its file of variables by lines, the longest of which is 64 KiB
_LONGEST = 60_000
# Variables that are not for a file go through podman's own environment, and these would change what it does
_OF_PODMAN = frozenset(
    {"HOME", "PATH", "TMPDIR", "IFS", "BASH_ENV", "ENV", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"}
)
_OF_PODMAN_BEGINS = (
    "LD_", "XDG_", "CONTAINER", "PODMAN", "STORAGE_", "REGISTRY_", "DOCKER_", "BUILDAH_", "DBUS_", "GO",
    "SSL_CERT_", "_",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Podman:
    """A table of words: see started.Runtime."""

    config: Config
    suffix: str = ".oci.tar"
    inside: bool = False

    @property
    def _is_hpc(self) -> bool:
        return self.config.container_runtime is ContainerRuntime.PODMAN_HPC

    @property
    def program(self) -> Line:
        return (*shlex.split(self.config.podman_prefix), self.config.podman_path)

    @property
    def places(self) -> str:
        """podman-hpc notes in its storage where podman keeps what runs, which must not be one pod's folder."""
        return "" if self._is_hpc else 'export TMPDIR="$temporary"\n'

    def variables(self, variables: Variables) -> tuple[bytes, bytes]:
        """A line each; what no line can hold goes through podman's environment, where only names are told."""
        lines, others = "", ""
        for name, value in variables.values.items():
            if _is_line(name, value):
                lines += f"{name}={value}\n"
            else:
                _refuse_orders(variables.container.name, name)
                others += f"{name}={value}\0"
        return lines.encode(), others.encode()

    def before(self) -> tuple[Call, ...]:
        return (("podman_of_site" if self._is_hpc else "podman_storage", *self.program),)

    def unpacking(self, container: str, image: Image) -> Call:
        return () if self._is_hpc else ("podman_image", _tag(image), image.place)

    def opening(self, start: Started) -> Command:
        named = _WITH_MPI if start.mpi_flags is not None else self._named(start)
        return ((*self.program, "run", *named, *_ALWAYS, *self.config.podman_default_options),)

    def _named(self, start: Started) -> Line:
        """The runner ends it by its name; what a killed job has left of it in podman-hpc's storage gives way."""
        return (f"--name={self._name(start)}", *(("--replace",) if self._is_hpc else ()))

    def _name(self, start: Started) -> str:
        return f"{start.pod}.{start.container.name}" if self._is_hpc else start.container.name

    def gpu(self, vendor: str) -> Line:
        if self._is_hpc and vendor == "nvidia.com/":
            return ("--gpu", "--env=CUDA_VISIBLE_DEVICES")  # its module gpu.yaml passes NVIDIA_VISIBLE_DEVICES only
        return _GPU_OPTION[vendor]

    def annotated(self, annotations: Annotations) -> Line:
        return ()

    def folders(self, start: Started) -> Line:
        return ()

    def working_directory(self, start: Started) -> Line:
        return (f"--workdir={start.container.working_dir}",) if start.container.working_dir else ()

    def environment(self, start: Started) -> Command:
        return (
            (f"--env-file={start.prepared.env_file}",),
            tuple(f"--env={name}" for name in start.prepared.odd_names),
        )

    def bind(self, mount: Mount) -> Line:
        source = mount.source if mount.source.startswith("/") else f"./{mount.source}"
        return (f"--volume={source}:{mount.target}{':ro' if mount.read_only else ''}",)

    def image(self, start: Started) -> Line:
        command = start.container.command
        entrypoint = (f"--entrypoint={json.dumps(command, ensure_ascii=False)}",) if command else ()
        if not self._is_hpc:
            return (*entrypoint, _tag(start.image))
        if not start.image.key:
            raise Rejected(
                f"container '{start.container.name}' has the image {start.image.name}, and podman-hpc starts images of "
                "registries only"
            )
        return (*entrypoint, _reference(start.image))

    def command(self, start: Started) -> Line:
        return start.container.args

    def entering(self, start: Started) -> Line:
        if start.mpi_flags is not None:
            raise Rejected(
                f"container '{start.container.name}' has a probe or a hook that runs inside it, and mpi-flags make it "
                "many containers, which podman cannot enter as one"
            )
        # its value is the runner's: by it is found what a client that is killed leaves in the container (job/world.sh)
        return (*self.program, "exec", "--env", "REMOTE_SLURM_ACTION", self._name(start))

    def message(self, container: Container, file: str) -> tuple[Mount, ...]:
        return (Mount(file, container.termination_message_path, read_only=False),)

    def pull(self, image: Image) -> Line:
        _refuse_others(image)
        if self._is_hpc:
            return ("marked", "@", *self.program, "pull", _reference(image))
        return ("archived", "@", image.name, *self.program)

    def login(self, user: str, password: str, host: str) -> dict[str, str]:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {
            "": 'export REGISTRY_AUTH_FILE="${login%.sh}.json"\n',
            ".json": json.dumps({"auths": {host: {"auth": auth}}}),
        }


def _is_line(name: str, value: str) -> bool:
    plain = not any(each.isspace() for each in name) and not name.startswith("#")
    return plain and "\n" not in value and not value.endswith("\r") and len(name) + len(value.encode()) < _LONGEST


def _refuse_orders(container: str, name: str) -> None:
    if name in _OF_PODMAN or name.startswith(_OF_PODMAN_BEGINS) or name.endswith("*"):
        raise Rejected(
            f"environment variable '{name}' of container '{container}' is on several lines, or is very long, and "
            "podman itself would read it: give it another name"
        )


def _refuse_others(image: Image) -> None:
    if not image.name.startswith("docker://"):
        raise Rejected(f"image {image.name} cannot be pulled by podman: its name must begin with docker://")


def _reference(image: Image) -> str:
    return image.name.removeprefix("docker://")


def _tag(image: Image) -> str:
    """A name for the job's own storage, whatever the image's is."""
    return f"localhost/remote-slurm/{hashlib.sha256(image.place.encode()).hexdigest()[:16]}"
