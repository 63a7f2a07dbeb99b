"""Policy of the configuration, applied to one pod: who breaks a rule is refused with the rule's name.

hostPath volumes have a rule of their own, AllowedHostPaths, that is also held on the node, where links are followed.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from remote_slurm.config import Policy
from remote_slurm.domain.annotations import given_names
from remote_slurm.domain.flags import Flag, flag_of_name, merge_flags, parse_flags
from remote_slurm.domain.pod import Pod
from remote_slurm.errors import Rejected


def check_annotations(pod: Pod, policy: Policy) -> None:
    """Raises Rejected for an annotation that AllowedAnnotations does not have."""
    for key, name in given_names(pod):
        if not _is_allowed(name, policy.allowed_annotations):
            allowed = ", ".join(policy.allowed_annotations) or "none"
            raise Rejected(
                f"pod {pod.full_name} sets the annotation {key}, and Policy.AllowedAnnotations allows {allowed}"
            )


def check_images(pod: Pod, images: Iterable[str], policy: Policy) -> None:
    """`images` are what the runtime is asked for. Raises Rejected for one that AllowedImages does not have."""
    for image in images:
        leads_out = ".." in PurePosixPath(image).parts and policy.allowed_images != ("*",)
        if leads_out or not _is_allowed(image, policy.allowed_images):
            allowed = ", ".join(policy.allowed_images) or "none"
            raise Rejected(f"pod {pod.full_name} runs the image {image}, and Policy.AllowedImages allows {allowed}")


def check_flags(pod: Pod, flags: Iterable[Flag], policy: Policy) -> None:
    """`flags` are the pod's own. Raises Rejected for what ForbiddenFlags has, or ForcedFlags has otherwise."""
    forced = {flag.name: flag for flag in forced_flags(policy)}
    forbidden = {flag_of_name(name, "Policy.ForbiddenFlags") for name in policy.forbidden_flags}
    for flag in flags:
        if flag.name in forbidden:
            raise Rejected(f"pod {pod.full_name} sets --{flag.name}, which Policy.ForbiddenFlags forbids")
        if forced.get(flag.name, flag) != flag:
            raise Rejected(
                f"pod {pod.full_name} sets {flag.line().removeprefix('#SBATCH ')}, and Policy.ForcedFlags has "
                f"{forced[flag.name].line().removeprefix('#SBATCH ')}"
            )


def forced_flags(policy: Policy) -> list[Flag]:
    """What every job has. Raises Rejected where the configuration has an option that no job can have."""
    return merge_flags(parse_flags(" ".join(policy.forced_flags), "Policy.ForcedFlags"))


def _is_allowed(value: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)
