"""Pod + Config -> JobPlan: everything that one pod's Slurm job consists of."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.config import Config
from remote_slurm.domain.flags import Flag, merge_flags, parse_flags
from remote_slurm.domain.pod import Container, CreateRequest, Pod
from remote_slurm.domain.quantity import MIB
from remote_slurm.domain.resources import PodResources, pod_resources
from remote_slurm.domain.runtimes import Started, container_command, env_lines
from remote_slurm.domain.volumes import File, HostPath, Volumes, plan_volumes
from remote_slurm.errors import Rejected

_PREFIXES = ("slurm-job.vk.io/", "slurm-job.knoc.io/")


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """One call of the runner: the words of the command, in the groups that make readable lines."""

    name: str
    init: bool
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One pod as a Slurm job; `files` are what travels besides job.sh and runner.sh."""

    pod: str
    full_name: str
    flags: tuple[Flag, ...]
    containers: tuple[ContainerPlan, ...]
    files: tuple[File, ...]
    host_paths: tuple[HostPath, ...]
    warnings: tuple[str, ...]
    grace_seconds: int
    log_limit: int
    command_prefix: str
    bash_path: str


def plan_job(request: CreateRequest, config: Config) -> JobPlan:
    """Raises Rejected with a sentence for whatever a Slurm job at this site cannot do."""
    pod = request.pod
    _refuse_unsupported(request, config)
    resources = pod_resources(pod)
    volumes = plan_volumes(request, export_pod_data=config.export_pod_data)
    return JobPlan(
        pod=pod.key,
        full_name=pod.full_name,
        flags=_flags(pod, resources, config),
        containers=_containers(pod, volumes, config),
        files=(*volumes.files, *_env_files(pod)),
        host_paths=volumes.host_paths,
        warnings=(*volumes.warnings, *_warnings(pod, resources, volumes, config)),
        grace_seconds=pod.spec.termination_grace_period_seconds,
        log_limit=config.max_log_size,
        command_prefix=config.command_prefix,
        bash_path=config.bash_path,
    )


def _annotation(pod: Pod, name: str) -> str:
    """The value under interLink's prefix, or under the older one that means the same."""
    values = (pod.metadata.annotations.get(prefix + name) for prefix in _PREFIXES)
    return next((value for value in values if value), "")


def _flags(pod: Pod, resources: PodResources, config: Config) -> tuple[Flag, ...]:
    memory = config.default_memory
    defaults = [
        Flag("job-name", pod.metadata.name),
        Flag("no-requeue"),
        Flag("cpus-per-task", str(config.default_cpu)),
    ]
    if memory is not None:
        defaults.append(_memory(-(-memory // MIB)))
    asked = parse_flags(_annotation(pod, "flags"), f"the flags of pod {pod.full_name}")
    return tuple(merge_flags(defaults, asked, _resource_flags(resources)))


def _resource_flags(resources: PodResources) -> list[Flag]:
    flags = [Flag("gres", ",".join(f"{name}:{count}" for name, count in resources.gres))] if resources.gres else []
    if resources.cpus is not None:
        flags.append(Flag("cpus-per-task", str(resources.cpus)))
    if resources.memory_mib is not None:
        flags.append(_memory(resources.memory_mib))
    return flags


def _memory(mib: int) -> Flag:
    return Flag("mem", f"{mib}M")


def _containers(pod: Pod, volumes: Volumes, config: Config) -> tuple[ContainerPlan, ...]:
    return tuple(
        ContainerPlan(
            container.name,
            init,
            container_command(Started(container, volumes.mounts(container), _env_path(container)), config),
        )
        for init, containers in ((True, pod.spec.init_containers), (False, pod.spec.containers))
        for container in containers
    )


def _env_path(container: Container) -> str:
    return f"secret/env/{container.name}"


def _env_files(pod: Pod) -> list[File]:
    """Secrets reach containers as environment variables too: the values travel in files, never in argv."""
    return [
        File(_env_path(container), env_lines(container, pod).encode(), 0o600)
        for container in (*pod.spec.init_containers, *pod.spec.containers)
    ]


def _refuse_unsupported(request: CreateRequest, config: Config) -> None:
    pod = request.pod
    if config.namespace and pod.metadata.namespace != config.namespace:
        raise Rejected(
            f"pod {pod.full_name} is not in namespace '{config.namespace}', the only one that this site takes pods from"
        )
    if request.job_script:
        raise Rejected(f"pod {pod.full_name} brings a jobScript of its own, which is not supported yet")
    names = [container.name for container in (*pod.spec.init_containers, *pod.spec.containers)]
    if len(set(names)) < len(names):
        raise Rejected(f"pod {pod.full_name} has two containers of the same name")
    for container in pod.spec.init_containers:
        if container.restart_policy == "Always":
            raise Rejected(
                f"init container '{container.name}' of pod {pod.full_name} is a sidecar (restartPolicy: Always), "
                "which is not supported yet"
            )


def _warnings(pod: Pod, resources: PodResources, volumes: Volumes, config: Config) -> list[str]:
    warnings = [
        f"annotation {name} is not supported yet and has no effect"
        for name in pod.metadata.annotations
        if name.startswith(_PREFIXES) and name.rpartition("/")[2] != "flags"
    ]
    if resources.memory_mib is None and config.default_memory is not None:
        warnings.append(
            f"no memory limit is given, so the job gets DefaultMemory ({config.default_memory} bytes): "
            "a site that enforces memory kills it at once"
        )
    if config.container_runtime == "none" and volumes.sources:
        warnings.append(
            "ContainerRuntime: none mounts nothing: the volumes lie in the job's folder, not at their mountPath"
        )
    if pod.spec.restart_policy != "Never":
        warnings.append(f"restartPolicy {pod.spec.restart_policy} is not supported yet: containers run once")
    return warnings
