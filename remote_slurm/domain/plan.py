"""Pod + Config -> JobPlan: everything that one pod's Slurm job consists of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from remote_slurm.config import Config
from remote_slurm.domain.annotations import Annotations, read_annotations
from remote_slurm.domain.apart import Apart, own_comment, plan_apart, refuse_logins
from remote_slurm.domain.flags import Flag
from remote_slurm.domain.flavors import Chosen, choose_flavor
from remote_slurm.domain.messages import link_scripts
from remote_slurm.domain.pod import CreateRequest, Pod
from remote_slurm.domain.policy import check_annotations, check_flags, check_images
from remote_slurm.domain.preparing import Prepared, first_calls, prepare
from remote_slurm.domain.projections import File
from remote_slurm.domain.pulling import image_calls, plan_images
from remote_slurm.domain.resources import pod_resources
from remote_slurm.domain.runtimes import container_command, message_mounts, runtime_of, variables_of
from remote_slurm.domain.started import Command, Runtime, Started
from remote_slurm.domain.submission import job_flags, resource_flags
from remote_slurm.domain.submission import warnings as resource_warnings
from remote_slurm.domain.supervision import (
    is_sidecar,
    notice_flags,
    notice_warnings,
    supervision_calls,
    supervision_warnings,
    time_limit_notice,
)
from remote_slurm.domain.volumes import Call, Mount, Volumes, plan_volumes
from remote_slurm.errors import Rejected

# Where containers find libtsocks.so and its configuration
_TSOCKS = "/.tsocks"


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """One call of the runner, whose function is `verb`: the words of the command, in groups that make readable lines.

    `calls` are those that come right before it.
    """

    name: str
    verb: str
    lines: Command
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class WantedUser:
    """The user id that a pod is to run as, and where that is said."""

    uid: int
    said_in: str


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One pod as a Slurm job; `files` are what travels besides job.sh and runner.sh."""

    pod: str
    full_name: str
    flags: tuple[Flag, ...]
    containers: tuple[ContainerPlan, ...]
    files: tuple[File, ...]
    calls: tuple[Call, ...]
    warnings: tuple[str, ...]
    grace_seconds: int
    deadline_seconds: int | None
    user: WantedUser | None
    annotations: Annotations
    pulls: bool
    log_limit: int
    command_prefix: str
    bash_path: str
    apart: Apart | None = None

    def refuse_other_user(self, uid: int | None) -> None:
        """Raises Rejected where the pod is to run as somebody else than the account, whose user id is `uid`."""
        if self.user is not None and uid not in (None, self.user.uid):
            raise Rejected(
                f"pod {self.full_name} is to run as user id {self.user.uid} ({self.user.said_in}), and jobs run as the "
                f"account at the site, whose user id is {uid}: another one would need root"
            )


def plan_job(request: CreateRequest, config: Config) -> JobPlan:
    """Raises Rejected with a sentence for whatever a Slurm job at this site cannot do."""
    pod = request.pod
    _refuse_unsupported(request, config)
    check_annotations(pod, config.policy)
    annotations = read_annotations(pod)
    check_flags(pod, annotations.flags, config.policy)
    resources = pod_resources(pod, resource_flags(config))
    flavor = choose_flavor(pod, annotations.flavor, resources.gpus, config)
    flags = job_flags(pod, annotations, flavor, resources, config)
    notice = time_limit_notice(pod, flags)
    apart = plan_apart(pod, flags, config)
    volumes = plan_volumes(request, config)
    runtime = runtime_of(config)
    containers = [_with_tsocks(each, config) for each in prepare(pod, volumes, variables_of(runtime))]
    images = plan_images(request, annotations, runtime, config)
    check_images(pod, (image.name for image in images.of.values() if image.name), config.policy)
    refuse_logins(images.files, config)
    starts = [Started(pod.key, each, annotations, images.of[each.container.name]) for each in containers]
    return JobPlan(
        pod=pod.key,
        full_name=pod.full_name,
        flags=(*own_comment(flags, apart), *notice_flags(notice)),
        containers=tuple(_container(each, request, runtime, config) for each in starts),
        files=(
            *volumes.files,
            *(file for each in containers for file in each.files),
            *(file for each in starts for file in link_scripts(message_mounts(each, runtime), each.container)),
            *images.files,
            *_annotation_files(annotations, request.job_script),
        ),
        calls=(
            *_tsocks_calls(runtime, config),
            *_workdir_calls(annotations, volumes),
            *first_calls(pod, volumes, config),
            *images.calls,
            *((("time_limit_notice", str(notice)),) if notice else ()),
        ),
        warnings=(
            *volumes.warnings,
            *request.unheeded,
            *annotations.warnings,
            *images.warnings,
            *resource_warnings(resources, flags, config),
            *supervision_warnings(pod, config),
            *notice_warnings(notice, flags),
            *_warnings(annotations, volumes, config),
        ),
        grace_seconds=pod.spec.termination_grace_period_seconds,
        deadline_seconds=pod.spec.active_deadline_seconds,
        user=_wanted_user(pod, flavor, config),
        annotations=annotations,
        pulls=images.pulls,
        log_limit=config.max_log_size,
        command_prefix=config.command_prefix,
        bash_path=config.bash_path,
        apart=apart,
    )


def _container(start: Started, request: CreateRequest, runtime: Runtime | None, config: Config) -> ContainerPlan:
    name, prepared = start.container.name, start.prepared
    if request.job_script:
        verb = "init_container" if prepared.init else "container"
        return ContainerPlan(name, verb, _of_job_script(prepared, request.pod), prepared.calls)
    of_image = image_calls(name, start.image, runtime)
    calls = (*prepared.calls, *of_image, *supervision_calls(start, request.pod, runtime, config))
    return ContainerPlan(name, _verb(prepared), container_command(start, runtime), calls)


def _verb(prepared: Prepared) -> str:
    if is_sidecar(prepared):
        return "sidecar_container"
    return "init_container" if prepared.init else "container"


def _of_job_script(prepared: Prepared, pod: Pod) -> Command:
    """Where the request brings a script of its own, that runs in place of all commands, beside the first container."""
    if prepared.init:
        return (("true",),)
    names = [each.name for each in pod.spec.containers]
    name = prepared.container.name
    return (("job_script", *names) if name == names[0] else ("with_job_script", name),)


def _with_tsocks(prepared: Prepared, config: Config) -> Prepared:
    if not config.tsocks:
        return prepared
    return replace(prepared, mounts=[*prepared.mounts, Mount("tsocks", _TSOCKS, read_only=True)])


def _tsocks_calls(runtime: Runtime | None, config: Config) -> tuple[Call, ...]:
    """What runs on the node itself finds the folder where it is."""
    if not config.tsocks:
        return ()
    return (("tsocks", config.tsocks_login_node, config.tsocks_path, *([_TSOCKS] if runtime else [])),)


def _workdir_calls(annotations: Annotations, volumes: Volumes) -> tuple[Call, ...]:
    if not annotations.workdir:
        return ()
    return (("job_workdir", annotations.workdir, "keep" if annotations.keep_workdir else "", *volumes.on_disk),)


def _annotation_files(annotations: Annotations, job_script: str) -> list[File]:
    """Shell that is the pod's own. It may hold keys, as the Virtual Kubelet's mesh script does."""
    texts = {
        "secret/pre-exec.sh": annotations.pre_exec,
        "secret/wireguard.conf": annotations.wireguard,
        "secret/job-script.sh": job_script,
    }
    return [File(path, text.encode(), 0o700) for path, text in texts.items() if text]


def _wanted_user(pod: Pod, flavor: Chosen, config: Config) -> WantedUser | None:
    """The pod's wish before the flavor's before DefaultUID. Raises Rejected where its containers differ."""
    of_pod = pod.spec.security_context.run_as_user
    wishes = {
        of_pod if (own := each.security_context.run_as_user) is None else own for each in pod.spec.all_containers
    } - {None}
    if len(wishes) > 1:
        raise Rejected(f"the containers of pod {pod.full_name} are to run as different users, and a job has one")
    for uid, said_in in (
        (next(iter(wishes), None), "its securityContext.runAsUser"),
        (flavor.uid, f"UID of the flavor '{flavor.name}'"),
        (config.default_uid, "DefaultUID in the sidecar's configuration"),
    ):
        if uid is not None:
            return WantedUser(uid, said_in)
    return None


def _refuse_unsupported(request: CreateRequest, config: Config) -> None:
    pod = request.pod
    if config.namespace and pod.metadata.namespace != config.namespace:
        raise Rejected(
            f"pod {pod.full_name} is not in namespace '{config.namespace}', the only one that this site takes pods from"
        )
    names = [container.name for container in pod.spec.all_containers]
    if len(set(names)) < len(names):
        raise Rejected(f"pod {pod.full_name} has two containers of the same name")


def _warnings(annotations: Annotations, volumes: Volumes, config: Config) -> list[str]:
    warnings = []
    if config.container_runtime == "none":
        warnings += [
            f"annotation {name} has no effect with ContainerRuntime: none" for name in annotations.for_a_runtime
        ]
        if volumes.collected:
            warnings.append(
                "ContainerRuntime: none mounts nothing: the volumes lie in the job's folder, not at their mountPath"
            )
    return warnings
