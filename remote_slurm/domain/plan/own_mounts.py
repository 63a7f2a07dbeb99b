"""What the runner makes in place of the node's own files and folders, so that a container sees its pod's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from remote_slurm.domain.plan.annotations import Annotations
from remote_slurm.domain.plan.mounts import CheckedSource, Mount
from remote_slurm.domain.pod.hosts import hosts_call
from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.pod.resources import gpu_vendor
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.shell import Call

_HOSTS = Mount("hosts", "/etc/hosts", read_only=False)
_LOCAL_TIME = Mount("localtime", "/etc/localtime", read_only=True)
# a pod that sees the node's /dev/shm could put a link in its place
_SHARED_MEMORY = Mount("shm", "/dev/shm", read_only=False, checked=CheckedSource("shm", "", "", ()))  # noqa: S108 - of the container


def shares_memory(pod: Pod, annotations: Annotations, runtime: Runtime) -> bool:
    """Whether containers get /dev/shm and an IPC namespace of the pod's.

    A container that is alone has its own. The ranks of an MPI program have those of their nodes.
    """
    if not runtime.starts_containers or annotations.mpi_flags is not None:
        return False
    return runtime.has_node_shared_memory or len(pod.spec.all_containers) > 1


def own_calls(pod: Pod, runtime: Runtime) -> tuple[Call, ...]:
    """The runner's call that makes the files. Raises InvalidRequest."""
    return (hosts_call(pod),) if runtime.starts_containers else ()


def node_calls(pod: Pod, runtime: Runtime) -> Iterator[Call]:
    """Folders for files that are in no volume, and the variables that select the GPUs of the job."""
    containers = pod.spec.all_containers
    if runtime.starts_containers:
        yield "scratch", *(each.name for each in containers)
    if runtime.passes_gpu_variables and any(map(gpu_vendor, containers)):
        yield ("gpus",)


def memory_calls(runtime: Runtime, *, shares: bool) -> tuple[Call, ...]:
    """The runner's calls for /dev/shm and the IPC namespace, once the runtime's storage is there."""
    return (("shared_memory",), *runtime.ipc_calls()) if shares else ()


def own_mounts(mounts: Iterable[Mount], runtime: Runtime, *, shares: bool) -> tuple[Mount, ...]:
    """The mounts of a container that has `mounts` already: as on a kubelet, what it mounts there itself counts."""
    if not runtime.starts_containers:
        return ()
    own = [_HOSTS]
    if runtime.has_node_time_zone:
        own.append(_LOCAL_TIME)
    if shares:
        own.append(_SHARED_MEMORY)
    targets = {mount.target.rstrip("/") for mount in mounts}
    return tuple(mount for mount in own if not targets & {"", mount.target, mount.target.rpartition("/")[0]})
