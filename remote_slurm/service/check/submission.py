"""Whether Slurm would accept pods: without options and with each flavor, and how much memory they get."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Protocol, TypeVar

from remote_slurm.config import Config, Policy
from remote_slurm.domain.plan.job_plan import plan_job
from remote_slurm.domain.pod.model import CreateRequest
from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.domain.slurm.refusals import Refusal, classify_refusal
from remote_slurm.domain.slurm.scontrol import DefaultMemory, SlurmSettings
from remote_slurm.errors import InvalidRequest, SlurmFailed
from remote_slurm.service.check.findings import CheckFailed, Passed, one_line
from remote_slurm.site.operation import Operation
from remote_slurm.site.operations import slurm_settings, try_submit
from remote_slurm.site.operations.try_submit import TriedJob

_T = TypeVar("_T")
_MOST_FLAVORS = 20
_MOST_WORDS = 300


def plain_pod(config: Config, flags: str = "", flavor: str = "") -> CreateRequest:
    """A pod that requests nothing, so that the defaults of the configuration apply."""
    annotations = {"slurm-job.vk.io/flags": flags, "slurm-job.vk.io/flavor": flavor}
    metadata = {
        "name": "remote-slurm-check",
        "namespace": config.namespace or "default",
        "uid": str(uuid.uuid4()),
        "annotations": {name: value for name, value in annotations.items() if value},
    }
    container = {"name": "check", "image": "none", "command": ["true"]}
    return CreateRequest.parse(
        {"pod": {"metadata": metadata, "spec": {"restartPolicy": "Never", "containers": [container]}}}
    )


def without_rules(config: Config) -> Config:
    """The configuration for a pod of the operator's own: it runs on the node itself, and no rule for pods applies.

    A container would show only itself.
    """
    policy = Policy(forced_flags=config.policy.forced_flags)
    return config.model_copy(update={"container_runtime": "none", "policy": policy, "policies": {}})


def job_flags(config: Config, flags: str = "", flavor: str = "") -> tuple[Flag, ...]:
    """The sbatch options of a pod that requests nothing. Raises InvalidRequest for a flavor that no pod can have."""
    own = without_rules(config)
    return plan_job(plain_pod(own, flags, flavor), own).flags


class AnswersOperations(Protocol):
    """What these checks need of `site.remote_site.RemoteSite`."""

    async def ask(self, operation: Operation[_T]) -> _T: ...


class SubmissionChecks:
    """`flags` are further sbatch options, such as those that the site requires."""

    def __init__(self, config: Config, site: AnswersOperations, flags: str = "") -> None:
        self._config = config
        self._site = site
        self._flags = flags

    async def submission(self) -> Passed:
        """Ask Slurm for a pod without a flavor, and for each flavor."""
        flavors = list(self._config.flavors)[:_MOST_FLAVORS]
        names = ["", *flavors] if not self._config.default_flavor else flavors
        try:
            jobs = [job_flags(self._config, self._flags, name) for name in names]
        except InvalidRequest as error:
            raise CheckFailed(str(error), "correct Flavors") from error
        answers = await self._site.ask(try_submit.operation(self._config, jobs))
        tried = dict(zip(names, answers, strict=False))
        refused = {name: tried_job for name, tried_job in tried.items() if not tried_job.is_accepted}
        if wrong := {name: job for name, job in refused.items() if name and _is_final(job)}:
            raise CheckFailed(
                "; ".join(
                    f"Slurm refuses pods of the flavor {name}: {words_of_sbatch(job)}" for name, job in wrong.items()
                ),
                "correct SlurmFlags, CPUDefault or MemoryDefault there",
            )
        if not refused:
            return Passed(f"sbatch --test-only accepts {_described(tried)}")
        accepted = [name for name in tried if name not in refused]
        messages = [f"sbatch --test-only accepts {_described(accepted)}"] if accepted else []
        messages += [f"it refuses {_described([name])} now: {words_of_sbatch(job)}" for name, job in refused.items()]
        remedy = (
            "pods need sbatch options here: set them for all pods as SlurmFlags of DefaultFlavor or in "
            "Policy.ForcedFlags, or give them to this command by --flags"
            if any(map(_is_final, refused.values()))
            else "the site may be busy or closed: try again later"
        )
        return Passed("; ".join(messages), remedy)

    async def memory(self) -> Passed:
        """Compare the memory of a pod that requests none with the site's default."""
        try:
            settings = await self._site.ask(slurm_settings.operation(self._config))
        except SlurmFailed as error:
            return Passed(f"the site's default is unknown: {one_line(error.message)}")
        return compare_memory(self._config, settings, self._flags)


def compare_memory(config: Config, settings: SlurmSettings, flags: str = "") -> Passed:
    """What a pod gets that requests no memory, with a remedy if that is too little or all that a node has."""
    if settings.allocates_memory is False:
        return Passed("Slurm allocates no memory here: jobs of a node share its memory, whatever they request")
    requested = {flag.name: flag.value for flag in job_flags(config, flags)}
    partition = settings.partition(requested.get("partition") or "") or settings.default_partition
    default = settings.default_memory(partition)
    where = f"partition {partition.name}" if partition else "the site"
    enforced = ", and the site ends jobs that use more" if settings.enforces_memory else ""
    own = _mib(requested.get("mem"))
    if own is not None:
        key = "MemoryDefault of the flavor" if config.default_flavor else "DefaultMemory"
        message = f"pods that request no memory get {own} MiB ({key}){enforced}"
        remedy = f"set {key} to none, so that the site's default applies" if default and own < default.mib else ""
        return Passed(f"{message}; the default of {where} is {default}" if default else message, remedy)
    if {"mem-per-cpu", "mem-per-gpu"} & set(requested):
        return Passed(f"pods that request no memory get what their sbatch options say{enforced}")
    return _default_of_site(settings, where, default, enforced)


def _default_of_site(settings: SlurmSettings, where: str, default: DefaultMemory | None, enforced: str) -> Passed:
    if default:
        return Passed(f"pods that request no memory get the default of {where}, {default}{enforced}")
    if settings.allocates_memory is None:
        return Passed("the site's default is unknown: scontrol does not show it")
    return Passed(
        f"{where} has no default: a pod that requests no memory gets all memory of its node",
        "set DefaultMemory, such as 2Gi, so that pods can share a node",
    )


def _mib(value: str | None) -> int | None:
    """The value of a --mem that this program wrote: `100M`."""
    number = (value or "").removesuffix("M")
    return int(number) if number.isdigit() else None


def _described(names: Sequence[str] | dict[str, TriedJob]) -> str:
    flavors = [name for name in names if name]
    parts = ["a pod without further options"] if "" in names else []
    if flavors:
        parts.append(f"the flavor{'s' if len(flavors) > 1 else ''} {', '.join(flavors)}")
    return " and ".join(parts)


def words_of_sbatch(job: TriedJob) -> str:
    """What sbatch printed when it refused the job, or its exit code."""
    return one_line("\n".join(job.messages))[:_MOST_WORDS] or f"exit code {job.exit_code}, without a message"


def _is_final(job: TriedJob) -> bool:
    return classify_refusal("\n".join(job.messages)) is Refusal.FOR_GOOD
