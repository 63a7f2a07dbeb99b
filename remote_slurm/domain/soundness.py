"""What of the configuration only the domain can judge: said at the start, before a pod is refused for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from fnmatch import fnmatchcase

from remote_slurm.config import Config, Policy
from remote_slurm.domain.annotations import FROM_VK, KNOWN
from remote_slurm.domain.flags import flag_of_name, parse_flags
from remote_slurm.errors import Problem, Rejected


def unsound(config: Config) -> list[Problem]:
    """Options of sbatch that no job can have, and rules that nothing can meet."""
    return [*_wrong_flags(config), *_wrong_names(config.policy), *_wrong_annotations(config.policy)]


def _wrong_flags(config: Config) -> Iterator[Problem]:
    texts = {"Policy.ForcedFlags": " ".join(config.policy.forced_flags)}
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
        except Rejected as error:
            yield Problem("", str(error))


def _wrong_names(policy: Policy) -> Iterator[Problem]:
    for name in policy.forbidden_flags:
        try:
            flag_of_name(name, "Policy.ForbiddenFlags")
        except Rejected as error:
            yield Problem("", str(error))


def _wrong_annotations(policy: Policy) -> Iterator[Problem]:
    names = sorted(KNOWN | FROM_VK)
    for pattern in policy.allowed_annotations:
        if not any(fnmatchcase(name, pattern) for name in names):
            nearest = difflib.get_close_matches(pattern, names, n=1, cutoff=0)[0]
            yield Problem(
                "Policy.AllowedAnnotations",
                f"no annotation that means something here is called '{pattern}': did you mean {nearest}?",
            )
