"""Checks of the configuration that need the domain, made at the start, before a pod is rejected for its mistakes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from remote_slurm.config import Config, Policy
from remote_slurm.config.annotation_names import JOB_SCRIPT
from remote_slurm.domain.plan.annotations import WRITTEN_BY_VIRTUAL_KUBELET
from remote_slurm.domain.runtimes.image_names import wrong_image_pattern
from remote_slurm.domain.runtimes.registry import RUNTIMES, Runtimes
from remote_slurm.domain.slurm.flags import flag_of_name, parse_flags
from remote_slurm.domain.slurm.sbatch_options import SBATCH_OPTIONS, OptionClass
from remote_slurm.errors import InvalidRequest, Problem


def semantic_problems(config: Config, runtimes: Runtimes = RUNTIMES) -> list[Problem]:
    """Return sbatch options that no job can have, rules that nothing can meet, and an unknown ContainerRuntime."""
    policies = {"Policy": config.policy} | {f"Policies.{name}": each for name, each in config.policies.items()}
    return [
        *_wrong_runtime(config, runtimes),
        *_wrong_flags(config, policies),
        *(problem for where, policy in policies.items() for problem in _wrong_names(policy, where)),
        *(problem for where, policy in policies.items() for problem in _wrong_annotations(policy, where, runtimes)),
        *(problem for where, policy in policies.items() for problem in _wrong_images(policy, where)),
    ]


def _wrong_runtime(config: Config, runtimes: Runtimes) -> Iterator[Problem]:
    if config.container_runtime not in runtimes.names:
        names = ", ".join(runtimes.names)
        yield Problem("ContainerRuntime", f"must be one of {names}, not {config.container_runtime!r}")


def _wrong_flags(config: Config, policies: Mapping[str, Policy]) -> Iterator[Problem]:
    texts = {f"{where}.ForcedFlags": " ".join(policy.forced_flags) for where, policy in policies.items()}
    texts |= {f"Identities.{name}": " ".join(each.forced_flags) for name, each in config.identities.items()}
    texts |= {f"Flavors.{name}.SlurmFlags": " ".join(each.slurm_flags) for name, each in config.flavors.items()}
    texts |= {
        f"ResourceFlags.{name}": options.format(count=1, mib=1)
        for name, options in config.resource_flags.items()
        if options != "none"
    }
    for where, text in texts.items():
        try:
            parse_flags(text, where)
        except InvalidRequest as error:
            yield Problem("", str(error))


def _wrong_names(policy: Policy, where: str) -> Iterator[Problem]:
    for key, names in (("ForbiddenFlags", policy.forbidden_flags), ("AllowedFlags", policy.allowed_flags)):
        for name in names:
            try:
                flag = flag_of_name(name, f"{where}.{key}")
            except InvalidRequest as error:
                yield Problem("", str(error))
                continue
            option = SBATCH_OPTIONS.get(flag)
            if key == "AllowedFlags" and option and option.option_class is OptionClass.OURS:
                yield Problem(f"{where}.{key}", f"--{flag} cannot be used here: {option.reason}")


def _wrong_annotations(policy: Policy, where: str, runtimes: Runtimes) -> Iterator[Problem]:
    names = sorted(runtimes.annotations.known | WRITTEN_BY_VIRTUAL_KUBELET | {JOB_SCRIPT})
    for pattern in policy.allowed_annotations:
        if not any(fnmatchcase(name, pattern) for name in names):
            nearest = difflib.get_close_matches(pattern, names, n=1, cutoff=0)[0]
            yield Problem(
                f"{where}.AllowedAnnotations",
                f"unknown annotation '{pattern}': did you mean {nearest}?",
            )


def _wrong_images(policy: Policy, where: str) -> Iterator[Problem]:
    for pattern in policy.allowed_images:
        if reason := wrong_image_pattern(pattern):
            yield Problem(f"{where}.AllowedImages", f"no image can match '{pattern}': {reason}")
