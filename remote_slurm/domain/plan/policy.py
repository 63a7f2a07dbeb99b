"""Policy and Policies of the configuration, applied to one pod: a pod that breaks a rule is refused with its name.

hostPath volumes have a rule of their own, AllowedHostPaths, that is also held on the node, where links are followed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from remote_slurm.config import PodPolicy, Policy, PolicyConfig
from remote_slurm.config.annotation_names import JOB_SCRIPT
from remote_slurm.domain.plan.annotations import AnnotationNames, given_names
from remote_slurm.domain.pod.account import identity_of
from remote_slurm.domain.pod.model import CreateRequest, Pod
from remote_slurm.domain.runtimes.image_names import is_allowed_image
from remote_slurm.domain.runtimes.images import Image, local_path
from remote_slurm.domain.shell import Call
from remote_slurm.domain.slurm.flags import Flag, flag_of_name, merge_flags, parse_flags
from remote_slurm.domain.slurm.sbatch_options import why_not_for_pods
from remote_slurm.errors import InvalidRequest

_BY_NAME = "what runs outside of containers needs its own name there, or *"
# sbatch takes a value with a slash for a file (verify_node_list in proc_args.c)
_NODE_LISTS = ("nodelist", "exclude")
# Slurm hands the value to the controller's MailProg as an argument, where a leading dash makes it an option
_MAIL_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._%+,-]*")


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules that apply to one pod. `policies` are by the configuration keys that messages name."""

    policies: tuple[tuple[str, Policy], ...]
    allowed_host_paths: tuple[str, ...]

    @property
    def forced_flags(self) -> list[Flag]:
        """The flags of every job; those of Policy override those of an entry of Policies. Raises InvalidRequest."""
        return _forced_flags((flag for _, policy in reversed(self.policies) for flag in policy.forced_flags), "Policy")

    def check_annotations(self, request: CreateRequest, names: AnnotationNames) -> None:
        """Raises InvalidRequest for annotations and for a job script that AllowedAnnotations does not have."""
        for where, policy in self.policies:
            _check_annotations(request.pod, policy, names, where)
            _check_job_script(request, policy, where)

    def check_flags(self, pod: Pod, flags: Iterable[Flag]) -> None:
        """Check the flags that the pod sets itself. Raises InvalidRequest."""
        for where, policy in self.policies:
            _check_flags(pod, flags, policy, where)

    def check_images(self, pod: Pod, images: Iterable[str]) -> None:
        """Raises InvalidRequest for an image that AllowedImages does not have."""
        for where, policy in self.policies:
            _check_images(pod, images, policy, where)

    def image_calls(self, image: Image) -> list[Call]:
        """Return the runner's calls that follow links to an image at the site: the file must be in AllowedImages."""
        path, scheme = local_path(image), image.name.partition("/")[0]
        if not path:
            return []
        patterns = [policy.allowed_images for _, policy in self.policies if "*" not in policy.allowed_images]
        return [
            (
                "local_image",
                path,
                *(f"/{each.partition('/')[2].lstrip('/')}" for each in several if each.startswith(f"{scheme}/")),
            )
            for several in patterns
        ]


def rules_for(pod: Pod, config: PolicyConfig) -> Rules:
    """Return Policy, and the first entry of Policies that applies to the pod.

    Raises InvalidRequest if there are Policies and no entry applies.
    """
    for_all_pods = ("Policy", config.policy)
    if not config.policies:
        return Rules((for_all_pods,), config.allowed_host_paths)
    identity = identity_of(pod, config.accounts)
    for name, policy in config.policies.items():
        if _is_for(policy, pod.metadata.namespace, identity):
            where = f"Policies.{name}"
            _check_host_paths(pod, policy, where)
            return Rules((for_all_pods, (where, policy)), policy.allowed_host_paths or config.allowed_host_paths)
    of = f" and the identity '{identity}'" if identity else ""
    raise InvalidRequest(
        f"pod {pod.full_name} is not allowed: no entry of Policies matches the namespace "
        f"'{pod.metadata.namespace}'{of}",
        rule="Policies",
    )


def _is_for(policy: PodPolicy, namespace: str, identity: str) -> bool:
    """If an entry names both namespaces and identities, the pod must have one of each."""
    return (not policy.namespaces or _is_allowed(namespace, policy.namespaces)) and (
        not policy.identities or identity in policy.identities
    )


def _check_host_paths(pod: Pod, policy: PodPolicy, where: str) -> None:
    """The paths themselves are checked with all other rules for volumes."""
    if policy.allowed_host_paths:
        return
    for volume in pod.spec.volumes:
        if volume.host_path is not None:
            rule = f"{where}.AllowedHostPaths"
            raise InvalidRequest(
                f"hostPath volume '{volume.name}' of pod {pod.full_name} is not allowed: {rule} allows no paths",
                rule=rule,
            )


def _check_annotations(pod: Pod, policy: Policy, names: AnnotationNames, where: str) -> None:
    """Raises InvalidRequest for an annotation that AllowedAnnotations does not have."""
    for key, name in given_names(pod, names):
        if not _may_annotate(name, policy.allowed_annotations, names):
            allowed = ", ".join(policy.allowed_annotations) or "none"
            named = f" ({_BY_NAME})" if name in names.trusted else ""
            raise InvalidRequest(
                f"annotation {key} of pod {pod.full_name} is not allowed: {where}.AllowedAnnotations allows "
                f"{allowed}{named}",
                rule=f"{where}.AllowedAnnotations",
            )


def _check_job_script(request: CreateRequest, policy: Policy, where: str) -> None:
    """Raise InvalidRequest for a request's script, which runs on the node, unless AllowedAnnotations has jobScript."""
    if request.job_script and not {"*", JOB_SCRIPT} & set(policy.allowed_annotations):
        allowed = ", ".join(policy.allowed_annotations) or "none"
        raise InvalidRequest(
            f"the jobScript of pod {request.pod.full_name} is not allowed: {where}.AllowedAnnotations allows "
            f"{allowed} ({_BY_NAME})",
            rule=f"{where}.AllowedAnnotations",
        )


def _may_annotate(name: str, patterns: tuple[str, ...], names: AnnotationNames) -> bool:
    return "*" in patterns or (name in patterns if name in names.trusted else _is_allowed(name, patterns))


def _check_images(pod: Pod, images: Iterable[str], policy: Policy, where: str) -> None:
    """`images` are what the runtime is asked for. Raises InvalidRequest for one that AllowedImages does not have."""
    for image in images:
        if not is_allowed_image(image, policy.allowed_images):
            allowed = ", ".join(policy.allowed_images) or "none"
            raise InvalidRequest(
                f"image {image} of pod {pod.full_name} is not allowed: {where}.AllowedImages allows {allowed}",
                rule=f"{where}.AllowedImages",
            )


def _check_flags(pod: Pod, flags: Iterable[Flag], policy: Policy, where: str) -> None:
    """Check the flags that the pod sets itself. Raises InvalidRequest.

    Options that carry environment, files or programs, that reach beyond the job, or that Slurm does not have need
    AllowedFlags. ForbiddenFlags refuses options, and ForcedFlags other values than its own.
    """
    allowed = {flag_of_name(name, f"{where}.AllowedFlags") for name in policy.allowed_flags}
    forced = {flag.name: flag for flag in _forced_flags(policy.forced_flags, where)}
    forbidden = {flag_of_name(name, f"{where}.ForbiddenFlags") for name in policy.forbidden_flags}
    for flag in flags:
        if flag.name in forbidden:
            rule = f"{where}.ForbiddenFlags"
            raise InvalidRequest(f"--{flag.name} of pod {pod.full_name} is not allowed: it is in {rule}", rule=rule)
        if flag.name not in allowed and (reason := why_not_for_pods(flag.name)):
            raise InvalidRequest(
                f"--{flag.name} of pod {pod.full_name} is not allowed: {reason}; allow it in {where}.AllowedFlags, "
                "or set it "
                f"in the sidecar's configuration (Flavors, {where}.ForcedFlags)",
                rule=f"{where}.AllowedFlags",
            )
        _check_value(pod, flag)
        if forced.get(flag.name, flag) != flag:
            raise InvalidRequest(
                f"{flag.line().removeprefix('#SBATCH ')} of pod {pod.full_name} is not allowed: "
                f"{where}.ForcedFlags sets "
                f"{forced[flag.name].line().removeprefix('#SBATCH ')}",
                rule=f"{where}.ForcedFlags",
            )


def _check_value(pod: Pod, flag: Flag) -> None:
    """Refuse values that make more of a harmless option. Raises InvalidRequest."""
    value = flag.value or ""
    if flag.name == "mail-user" and not _MAIL_USER.fullmatch(value):
        raise InvalidRequest(
            f"invalid --mail-user={value} of pod {pod.full_name}: must be mail addresses or user names, separated "
            "by commas"
        )
    if flag.name in _NODE_LISTS and "/" in value:
        raise InvalidRequest(
            f"invalid --{flag.name}={value} of pod {pod.full_name}: must not contain '/', since sbatch would read "
            "the nodes "
            "from a file of the account"
        )


def _forced_flags(options: Iterable[str], where: str) -> list[Flag]:
    """Raises InvalidRequest if the configuration has an option that no job can have."""
    return merge_flags(parse_flags(" ".join(options), f"{where}.ForcedFlags"))


def _is_allowed(value: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)
