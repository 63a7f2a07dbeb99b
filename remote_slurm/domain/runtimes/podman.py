"""Podman (podman-run(1) 3.4 to 5.4), and podman-hpc (1.1), which adds to it.

Podman runs rootless, in a storage of the job's own: see job/images.sh. The account is root in the container, which is
what its files belong to; a process that changes its user id there would need ids of its own (subuid). podman-hpc has
a storage of its own for all jobs of an account on a node, so that names of containers there have the pod's in front.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from remote_slurm.config import Config, RuntimeConfig
from remote_slurm.domain.plan.container_setup import EncodedVariables, Variables
from remote_slurm.domain.plan.mounts import Mount
from remote_slurm.domain.plan.termination_message import message_file
from remote_slurm.domain.pod.environment import is_own_name
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.runtimes.container_runtime import ContainerRuntime
from remote_slurm.domain.runtimes.container_start import Command, ContainerStart, Line
from remote_slurm.domain.runtimes.images import Image, repository, tag
from remote_slurm.domain.shell import Call, Variable, composed
from remote_slurm.errors import InvalidRequest

# No cgroups, since Slurm has created those of the job, and the network of the node
_ALWAYS = (
    "--rm", "--cgroups=disabled", "--network=host", "--security-opt=label=disable", "--http-proxy=false",
    "--pull=never",
)  # fmt: skip
_READ_ONLY = ("--read-only", "--read-only-tmpfs=false")
_AS_ROOT = "--user=0:0"
# Each rank is a container. Ranks share memory and processes, and get their rank from variables of mpiexec
_WITH_MPI: Line = (
    "--pid=host", "--ipc=host", "--env=PMI*", "--env=OMPI_*", "--env=PRTE_*", "--env=HYDI_*", "--env=MPI*",
    "--env=I_MPI_*",
)  # fmt: skip
_GPU_OPTION: Mapping[str, Line] = {
    "": (),
    "nvidia.com/": ("--device=nvidia.com/gpu=all", "--env=CUDA_VISIBLE_DEVICES"),
    "amd.com/": ("--device=/dev/kfd", "--device=/dev/dri", "--group-add=keep-groups", "--env=ROCR_VISIBLE_DEVICES"),
}
# podman reads --env-file by lines, the longest of which is 64 KiB
_LONGEST = 60_000
# Variables that the file cannot hold are passed through podman's own environment. These would change what podman does
_OF_PODMAN = frozenset(
    {"HOME", "PATH", "TMPDIR", "IFS", "BASH_ENV", "ENV", "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID"}
)
_OF_PODMAN_BEGINS = (
    "LD_", "XDG_", "CONTAINER", "PODMAN", "STORAGE_", "REGISTRY_", "DOCKER_", "BUILDAH_", "DBUS_", "GO",
    "SSL_CERT_", "_", "GLIBC_", "GCONV_", "LOCPATH", "NLSPATH", "MALLOC_", "LC_", "LANG", "TZ", "RES_OPTIONS",
    "HOSTALIASES", "LOCALDOMAIN", "BASH_", "FUSE_", "NETAVARK", "CRUN", "http_proxy", "https_proxy", "HTTP_PROXY",
    "HTTPS_PROXY",
)  # fmt: skip


@dataclass(frozen=True)
class Podman(ContainerRuntime):
    names: ClassVar[tuple[str, ...]] = ("podman",)
    image_suffix: ClassVar[str] = ".oci.tar"
    shell_part: ClassVar[str] = "podman"
    follows_links: ClassVar[bool] = False
    user_namespaces_hint: ClassVar[str] = "podman needs them: ask the site to allow them"

    @classmethod
    def configure(cls, config: Config) -> Self:
        return cls(
            RuntimeConfig.from_config(
                config,
                path_key="PodmanPath",
                path=config.podman_path,
                default_path=config.container_runtime,
                prefix=config.podman_prefix,
                default_options=config.podman_default_options,
            )
        )

    @property
    def mount_namespace(self) -> Line:
        return ("--shared-namespace", *self.program, "unshare", "--")

    def cache_settings(self) -> str:
        return 'export TMPDIR="$temporary"\n'

    def remove_command(self) -> Line:
        return ("remove_by_podman", *self.program)

    def encode_variables(self, variables: Variables) -> EncodedVariables:
        """Write one variable a line. Others are passed through podman's environment, and named in its options."""
        lines, others = "", ""
        for name, value in variables.values.items():
            if _is_line(name, value):
                lines += f"{name}={value}\n"
            else:
                _refuse_podman_variable(variables.container.name, name)
                others += f"{name}={value}\0"
        return EncodedVariables(lines.encode(), others.encode())

    def storage_calls(self) -> tuple[Call, ...]:
        return (("podman_storage", *self.program),)

    def unpack_call(self, container: str, image: Image) -> Call:
        return "podman_image", self._image_name(image), image.place

    def start_command(self, start: ContainerStart) -> Command:
        name = _WITH_MPI if start.mpi_flags is not None else self._name_options(start)
        ipc = (Variable("ipc_option", "--ipc=private"),) if start.shares_memory else ()
        read_only = _READ_ONLY if start.is_read_only else ()
        return ((*self.program, "run", *name, *_ALWAYS, *_user(start), *ipc, *read_only, *self.config.default_options),)

    def ipc_calls(self) -> tuple[Call, ...]:
        return (("pod_ipc", *self.program),)

    def gpu_options(self, vendor: str) -> Line:
        return _GPU_OPTION[vendor]

    def hostname_options(self, start: ContainerStart) -> Line:
        return (f"--hostname={start.hostname}",) if start.mpi_flags is None else ()

    def image_config_calls(self, start: ContainerStart) -> tuple[Call, ...]:
        return (("image_config", self._image_name(start.image), "own", *self.program),)

    def working_dir_call(self, start: ContainerStart) -> Call:
        return "work_in_image", start.container.working_dir

    def working_dir_options(self, start: ContainerStart) -> Line:
        return (f"--workdir={start.container.working_dir}",) if start.container.working_dir else ()

    def environment_options(self, start: ContainerStart) -> Command:
        return (
            (f"--env-file={start.setup.env_file}",),
            tuple(f"--env={name}" for name in start.setup.carried_names),
        )

    def mount_options(self, mount: Mount) -> Line:
        source = mount.source if mount.source.startswith("/") else f"./{mount.source}"
        return (f"--volume={source}:{mount.target}{':ro' if mount.read_only else ''}",)

    def image_argument(self, start: ContainerStart) -> Line:
        command = start.setup.command
        return (*((composed(command, _entrypoint),) if command else ()), self._image_name(start.image))

    def command_arguments(self, start: ContainerStart) -> Line:
        return start.setup.args

    def exec_command(self, start: ContainerStart) -> Line:
        if start.mpi_flags is not None:
            raise InvalidRequest(
                f"container '{start.container.name}' has a probe or a hook that runs inside it, which podman does not "
                "support with mpi-flags: each rank is a container of its own"
            )
        # the runner sets the value, and finds by it what remains if the client is killed (exec_in_container.sh)
        return (*self.program, "exec", "--env", "REMOTE_SLURM_ACTION", self._container_name(start))

    def message_mounts(self, container: Container) -> tuple[Mount, ...]:
        return (Mount(message_file(container), container.termination_message_path, read_only=False),)

    def pull_command(self, image: Image) -> Line:
        _refuse_other_schemes(image)
        return ("archived", "@", f"docker://{_reference(image)}", *self.program)

    def login_files(self, user: str, password: str, host: str) -> Mapping[str, str]:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {
            "": 'export REGISTRY_AUTH_FILE="${login%.sh}.json"\n',
            ".json": json.dumps({"auths": {host: {"auth": auth}}}),
        }

    def _name_options(self, start: ContainerStart) -> Line:
        """The runner ends the container by its name."""
        return (f"--name={self._container_name(start)}",)

    def _container_name(self, start: ContainerStart) -> str:
        return start.container.name

    def _image_name(self, image: Image) -> str:
        """A name in the job's own storage that is valid for every image."""
        return f"localhost/remote-slurm/{hashlib.sha256(image.place.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class PodmanHPC(Podman):
    """podman-hpc has one storage for all jobs of the account on a node: container names contain the pod's name."""

    names: ClassVar[tuple[str, ...]] = ("podman-hpc",)

    def cache_settings(self) -> str:
        """podman-hpc writes the folder of podman's state into its storage: it must not be that of one pod."""
        return ""

    def remove_command(self) -> Line:
        return ()

    def storage_calls(self) -> tuple[Call, ...]:
        return (("podman_of_site", *self.program),)

    def unpack_call(self, container: str, image: Image) -> Call:  # images are in the storage already
        return ()

    def gpu_options(self, vendor: str) -> Line:
        if vendor == "nvidia.com/":
            return ("--gpu", "--env=CUDA_VISIBLE_DEVICES")  # its module gpu.yaml passes NVIDIA_VISIBLE_DEVICES only
        return _GPU_OPTION[vendor]

    def image_argument(self, start: ContainerStart) -> Line:
        if not start.image.key:
            raise InvalidRequest(
                f"invalid image {start.image.name!r} of container '{start.container.name}': must be in a registry, "
                "since podman-hpc starts no files"
            )
        return Podman.image_argument(self, start)

    def pull_command(self, image: Image) -> Line:
        _refuse_other_schemes(image)
        return ("marked", "@", *self.program, "pull", _reference(image))

    def _name_options(self, start: ContainerStart) -> Line:
        """--replace removes what a killed job has left under the name."""
        return (f"--name={self._container_name(start)}", "--replace")

    def _container_name(self, start: ContainerStart) -> str:
        return f"{start.pod}.{start.container.name}"

    def _image_name(self, image: Image) -> str:
        return _reference(image)


def _user(start: ContainerStart) -> Line:
    """Root inside is the account. Another user is mapped to the account too, so that it can write to its volumes."""
    if start.user is None or start.user.uid == 0 or start.mpi_flags is not None:
        return (_AS_ROOT,)
    uid, gid = start.user.uid, start.user.gid
    return (f"--userns=keep-id:uid={uid},gid={gid}", f"--user={uid}:{gid}")


def _entrypoint(command: list[str]) -> str:
    return f"--entrypoint={json.dumps(command, ensure_ascii=False)}"


def _is_line(name: str, value: str) -> bool:
    plain = not any(each.isspace() for each in name) and not name.startswith("#")
    return plain and "\n" not in value and not value.endswith("\r") and len(name) + len(value.encode()) < _LONGEST


def _refuse_podman_variable(container: str, name: str) -> None:
    if name in _OF_PODMAN or is_own_name(name) or name.startswith(_OF_PODMAN_BEGINS) or name.endswith("*"):
        raise InvalidRequest(
            f"environment variable '{name}' of container '{container}' has several lines or about {_LONGEST} bytes or "
            "more. podman gets it in its own environment, where this name changes what podman does: rename it"
        )


def _refuse_other_schemes(image: Image) -> None:
    if not image.name.startswith("docker://"):
        raise InvalidRequest(f"image {image.name} cannot be pulled by podman: its name must begin with docker://")


def _reference(image: Image) -> str:
    """The name with its registry: podman would look up a name without one in registries.conf."""
    host, path = repository(image)
    return f"{host}/{path}{tag(image)}"
