"""The containers of a pod as calls of the runner, each with the calls right before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from remote_slurm.config import UserConfig
from remote_slurm.domain.plan.annotations import Annotations
from remote_slurm.domain.plan.container_setup import ContainerSetup, prepare
from remote_slurm.domain.plan.fragment import PlanFragment
from remote_slurm.domain.plan.mounts import Mount
from remote_slurm.domain.plan.own_mounts import own_mounts
from remote_slurm.domain.plan.policy import Rules
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.plan.run_as_user import container_user
from remote_slurm.domain.plan.runner_calls import Enabled, is_sidecar, supervision_calls
from remote_slurm.domain.plan.volumes import Volumes
from remote_slurm.domain.plan.working_dirs import working_dir_calls
from remote_slurm.domain.pod.limits import check_pod_arguments
from remote_slurm.domain.pod.model import CreateRequest, Pod
from remote_slurm.domain.runtimes.container_start import Command, ContainerStart
from remote_slurm.domain.runtimes.image_pulls import Images, image_calls
from remote_slurm.domain.runtimes.images import Image
from remote_slurm.domain.runtimes.runtime import Runtime
from remote_slurm.domain.shell import Call, Hidden, text_of


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """One call of the runner, whose function is `verb`: the words of the command, in groups that make readable lines.

    `calls` come right before it.
    """

    name: str
    verb: str
    lines: Command
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerContext:
    """What all containers of a pod have in common."""

    request: CreateRequest
    annotations: Annotations
    runtime: Runtime
    rules: Rules
    users: UserConfig
    shares_memory: bool
    enabled: Enabled
    extra_mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True)
class Containers:
    """All containers of a pod in the order in which they start, and their files.

    `checks_mounts` is true if job/mounts.sh starts one of them.
    """

    plans: tuple[ContainerPlan, ...]
    fragment: PlanFragment
    checks_mounts: bool


def plan_containers(volumes: Volumes, images: Images, context: ContainerContext) -> Containers:
    """Raises InvalidRequest for what the runtime cannot do, and for too many arguments."""
    pod, runtime = context.request.pod, context.runtime
    setups = [_with_own_mounts(each, context) for each in prepare(pod, volumes, runtime.encode_variables)]
    starts = [_start(each, images.of[each.container.name], context) for each in setups]
    return Containers(
        tuple(_plans(starts, context)),
        PlanFragment(files=tuple(_files(starts, runtime))),
        any(map(runtime.checks_mounts, starts)),
    )


def _start(setup: ContainerSetup, image: Image, context: ContainerContext) -> ContainerStart:
    pod = context.request.pod
    return ContainerStart(
        pod=pod.key,
        hostname=pod.hostname,
        shares_memory=context.shares_memory,
        user=container_user(pod, setup.container, context.users),
        setup=setup,
        annotations=context.annotations,
        image=image,
    )


def _files(starts: Iterable[ContainerStart], runtime: Runtime) -> Iterator[File]:
    for each in starts:
        yield from each.setup.files
        yield from runtime.message_files(each.container)


def _plans(starts: Iterable[ContainerStart], context: ContainerContext) -> list[ContainerPlan]:
    plans: list[ContainerPlan] = []
    size = 0
    for each in starts:
        plans.append(_plan(each, context))
        words = (word for line in (*plans[-1].calls, *plans[-1].lines) for word in line)
        size += sum(len(text_of(word)) for word in words if isinstance(word, str | Hidden))
        check_pod_arguments(size)
    return plans


def _plan(start: ContainerStart, context: ContainerContext) -> ContainerPlan:
    name, setup, pod, runtime = start.container.name, start.setup, context.request.pod, context.runtime
    if context.request.job_script:
        return ContainerPlan(name, _verb(setup), _job_script_command(setup, pod), setup.calls)
    calls = (
        *setup.calls,
        *context.rules.image_calls(start.image),
        *image_calls(name, start.image, runtime),
        *runtime.image_config_calls(start),
        *working_dir_calls(start, runtime),
        *supervision_calls(start, pod, runtime, context.enabled),
    )
    verb = "sidecar_container" if is_sidecar(setup) else _verb(setup)
    return ContainerPlan(name, verb, runtime.container_command(start), calls)


def _verb(setup: ContainerSetup) -> str:
    return "init_container" if setup.init else "container"


def _job_script_command(setup: ContainerSetup, pod: Pod) -> Command:
    """The script of the request runs in place of all commands, as the first container."""
    if setup.init:
        return (("true",),)
    names = [each.name for each in pod.spec.containers]
    name = setup.container.name
    return (("job_script", *names) if name == names[0] else ("with_job_script", name),)


def _with_own_mounts(setup: ContainerSetup, context: ContainerContext) -> ContainerSetup:
    """Add the mounts that no volume brings."""
    own = own_mounts(setup.mounts, context.runtime, shares=context.shares_memory)
    return replace(setup, mounts=[*setup.mounts, *own, *context.extra_mounts])
