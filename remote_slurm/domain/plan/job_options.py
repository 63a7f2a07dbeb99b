"""The sbatch options of a pod's job, from its resources, its flavor, its annotations and the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.config import ResourceDefaults, UserConfig
from remote_slurm.domain.plan.file_transfer import FileTransfer
from remote_slurm.domain.plan.fragment import PlanFragment
from remote_slurm.domain.plan.policy import Rules
from remote_slurm.domain.plan.run_as_user import WantedUser, user_warnings, wanted_user
from remote_slurm.domain.plan.time_limit import notice_calls, notice_flags, notice_seconds, notice_warnings
from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.pod.resources import pod_resources
from remote_slurm.domain.shell import Call
from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.domain.slurm.flavors import choose_flavor
from remote_slurm.domain.slurm.job_flags import FlagSources, job_flags, resource_flags, resource_warnings


@dataclass(frozen=True, slots=True)
class JobOptions:
    """`flags` are the job's, `report_calls` the runner's before all others, and `user` is the requested user id."""

    flags: tuple[Flag, ...]
    report_calls: tuple[Call, ...]
    user: WantedUser | None
    fragment: PlanFragment


@dataclass(frozen=True, slots=True)
class RequestedOptions:
    """The options that the annotations of a pod request."""

    flags: tuple[Flag, ...]
    flavor: str


def plan_options(
    pod: Pod,
    requested: RequestedOptions,
    rules: Rules,
    transfer: FileTransfer,
    defaults: ResourceDefaults,
    users: UserConfig,
) -> JobOptions:
    """Raises InvalidRequest for resources, flags and users that a job at this site cannot have."""
    rules.check_flags(pod, requested.flags)
    resources = pod_resources(pod, resource_flags(defaults))
    flavor = choose_flavor(pod, requested.flavor, resources.gpus, defaults)
    sources = FlagSources(transfer.default_flags, flavor, requested.flags, resources, tuple(rules.forced_flags))
    flags = job_flags(pod, sources, defaults)
    notice = notice_seconds(pod, flags)
    transfer.check_pod(pod, flags)
    return JobOptions(
        flags=(*transfer.report_flags(flags), *notice_flags(notice)),
        report_calls=transfer.report_calls(flags),
        user=wanted_user(pod, flavor, users),
        fragment=PlanFragment(
            calls=notice_calls(notice),
            warnings=(
                *resource_warnings(resources, flags, defaults),
                *notice_warnings(notice, flags),
                *user_warnings(pod, users),
            ),
        ),
    )
