"""Pod + Config -> JobPlan: everything that one pod's Slurm job consists of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from remote_slurm.config import (
    Config,
    ImageConfig,
    JobArrays,
    PolicyConfig,
    ResourceDefaults,
    ScriptConfig,
    TsocksConfig,
    UserConfig,
    VolumeConfig,
)
from remote_slurm.domain.plan.annotation_fragment import annotation_fragment
from remote_slurm.domain.plan.annotation_mounts import with_mounts
from remote_slurm.domain.plan.annotations import Annotations, read_annotations, refuse_workdir
from remote_slurm.domain.plan.containers import ContainerContext, ContainerPlan, plan_containers
from remote_slurm.domain.plan.description import description_lines
from remote_slurm.domain.plan.file_transfer import FileTransfer
from remote_slurm.domain.plan.fragment import PlanFragment, merged
from remote_slurm.domain.plan.hidden_words import HiddenWords
from remote_slurm.domain.plan.job_options import RequestedOptions, plan_options
from remote_slurm.domain.plan.job_start import kept_variables
from remote_slurm.domain.plan.node_local_files import file_transfer
from remote_slurm.domain.plan.own_mounts import memory_calls, node_calls, own_calls, shares_memory
from remote_slurm.domain.plan.policy import rules_for
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.plan.run_as_user import RUN_AS_USER_HINT, WantedUser
from remote_slurm.domain.plan.runner_calls import Enabled, container_warnings
from remote_slurm.domain.plan.termination_message import checked_path
from remote_slurm.domain.plan.tsocks import tsocks_calls, tsocks_mounts
from remote_slurm.domain.plan.volumes import plan_volumes
from remote_slurm.domain.pod.job_values import fill_calls
from remote_slurm.domain.pod.limits import check_path
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.domain.runtimes.image_pulls import plan_images
from remote_slurm.domain.runtimes.registry import RUNTIMES, Runtimes
from remote_slurm.domain.shell import Call
from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.errors import InvalidRequest

_MOST_WARNINGS = 50


@dataclass(frozen=True, slots=True)
class JobPlan:
    """One pod as a Slurm job.

    `programs` are the scripts of job/ that the runner starts, `files` all other files besides job.sh. The runner makes
    `report_calls` first, then `calls`. `images` are the names of images, each once.
    `description` are comment lines for people. `may_be_task`: the pod may be a task of a job array.
    """

    pod: str
    full_name: str
    flags: tuple[Flag, ...]
    containers: tuple[ContainerPlan, ...]
    files: tuple[File, ...]
    report_calls: tuple[Call, ...]
    calls: tuple[Call, ...]
    warnings: tuple[str, ...]
    grace_seconds: int
    deadline_seconds: int | None
    user: WantedUser | None
    annotations: Annotations
    transfer: FileTransfer
    script: ScriptConfig
    job_variables: tuple[str, ...]
    programs: frozenset[str]
    images: tuple[str, ...]
    hides_words: bool
    description: tuple[str, ...]
    may_be_task: bool

    @property
    def size(self) -> int:
        """Bytes of the files, and characters of the words, that are packed for the site."""
        words = (word for each in self.containers for line in (*each.calls, *each.lines) for word in line)
        return sum(len(file.content or b"") for file in self.files) + sum(
            len(word) for word in words if isinstance(word, str)
        )

    def refuse_other_user(self, uid: int | None) -> None:
        """Raises InvalidRequest if the pod requests another user id than `uid`, which is that of the account."""
        if self.user is not None and uid not in (None, self.user.uid):
            raise InvalidRequest(
                f"invalid user id {self.user.uid} of pod {self.full_name} ({self.user.source}): jobs run as the "
                "account at "
                f"the site, whose user id is {uid}; {RUN_AS_USER_HINT}"
            )


def plan_job(request: CreateRequest, config: Config, runtimes: Runtimes = RUNTIMES) -> JobPlan:
    """Raises InvalidRequest with a sentence for whatever a Slurm job at this site cannot do."""
    _check_pod(request, config.namespace)
    runtime, transfer, tsocks = runtimes.configure(config), file_transfer(config), TsocksConfig.from_config(config)
    annotations = read_annotations(request.pod, runtimes.annotations)
    description = description_lines(request.pod)
    pod = with_mounts(request.pod, runtime.annotation_mounts(annotations))
    request = request.model_copy(update={"pod": pod})
    rules = rules_for(pod, PolicyConfig.from_config(config))
    rules.check_annotations(request, runtimes.annotations)
    refuse_workdir(annotations.workdir, pod.key, config.data_root_folder)
    requested = RequestedOptions(annotations.flags, annotations.flavor)
    users = UserConfig.from_config(config)
    options = plan_options(pod, requested, rules, transfer, ResourceDefaults.from_config(config), users)
    volume_config = VolumeConfig.from_config(config, rules.allowed_host_paths)
    volumes = plan_volumes(request, volume_config, transfer, has_workdir=bool(annotations.workdir))
    images = plan_images(request, annotations.image_root, runtime, transfer, ImageConfig.from_config(config))
    rules.check_images(pod, images.names)
    context = ContainerContext(
        request,
        annotations,
        runtime,
        rules,
        users,
        shares_memory=not request.job_script and shares_memory(pod, annotations, runtime),
        enabled=Enabled(probes=config.enable_probes, exec=config.enable_exec),
        extra_mounts=tsocks_mounts(tsocks),
    )
    containers = plan_containers(volumes, images, context)
    part = merged(
        PlanFragment(calls=() if request.job_script else runtime.use_calls()),
        PlanFragment(calls=(*own_calls(pod, runtime), *tsocks_calls(runtime, tsocks))),
        annotation_fragment(annotations, request.job_script, volumes, runtime),
        PlanFragment(calls=tuple(node_calls(pod, runtime))),
        volumes.fragment,
        containers.fragment,
        PlanFragment(warnings=request.ignored_fields),
        images.fragment,
        PlanFragment(calls=memory_calls(runtime, shares=context.shares_memory)),
        options.fragment,
        PlanFragment(warnings=tuple(container_warnings(pod, runtime, probes_enabled=config.enable_probes))),
    )
    hidden = HiddenWords()
    plans = tuple(_hide_words(each, hidden) for each in containers.plans)
    calls = tuple(map(hidden.move, part.calls))
    files = (*part.files, *hidden.files)
    script = ScriptConfig.from_config(config)
    return JobPlan(
        pod=pod.key,
        full_name=pod.full_name,
        flags=options.flags,
        containers=plans,
        files=files,
        report_calls=options.report_calls,
        calls=(*fill_calls(pod, ((file.path, file.content) for file in files)), *hidden.calls, *calls),
        warnings=_first_warnings(part.warnings),
        grace_seconds=pod.spec.termination_grace_period_seconds,
        deadline_seconds=pod.spec.active_deadline_seconds,
        user=options.user,
        annotations=annotations,
        transfer=transfer,
        script=script,
        job_variables=kept_variables(script.job_variables, tsocks),
        programs=frozenset(_programs(annotations, pulls=images.pulls, checks_mounts=containers.checks_mounts)),
        images=images.names,
        hides_words=bool(hidden.calls),
        description=description,
        # one task has the id of its array: a program that can call `scancel $SLURM_JOB_ID` would end all its pods
        may_be_task=runtime.starts_containers or config.job_arrays is JobArrays.ALWAYS,
    )


def _check_pod(request: CreateRequest, namespace: str) -> None:
    pod = request.pod
    if namespace and pod.metadata.namespace != namespace:
        raise InvalidRequest(
            f"pod {pod.full_name} is not in namespace '{namespace}': Namespace in the sidecar's configuration accepts "
            "pods of that namespace only",
            rule="Namespace",
        )
    for container in pod.spec.all_containers:
        check_path(container.working_dir, f"workingDir of container '{container.name}'")
        checked_path(container)
    names = [container.name for container in pod.spec.all_containers]
    if len(set(names)) < len(names):
        raise InvalidRequest(f"pod {pod.full_name} has two containers of the same name")


def _hide_words(container: ContainerPlan, hidden: HiddenWords) -> ContainerPlan:
    calls = tuple(map(hidden.move, container.calls))
    return replace(container, calls=calls, lines=tuple(map(hidden.move, container.lines)))


def _programs(annotations: Annotations, *, pulls: bool, checks_mounts: bool) -> Iterator[str]:
    if pulls:
        yield "pull.sh"
    if checks_mounts:
        yield "mounts.sh"
    if annotations.mpi_flags is not None:
        yield "rank.sh"


def _first_warnings(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Each warning is a line of the log."""
    left_out = len(warnings) - _MOST_WARNINGS
    more = (f"and {left_out} more warnings",) if left_out > 0 else ()
    return warnings[:_MOST_WARNINGS] + more
