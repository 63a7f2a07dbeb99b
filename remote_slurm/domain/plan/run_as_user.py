"""The user that a pod requests, and what RunAsUser permits: a job always runs as its account."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from remote_slurm.config import RunAsUser, UserConfig
from remote_slurm.domain.pod.model import Container, Pod
from remote_slurm.domain.slurm.flavors import ChosenFlavor
from remote_slurm.errors import InvalidRequest

RUN_AS_USER_HINT = "RunAsUser: ignore in the sidecar's configuration runs such pods as the account"


@dataclass(frozen=True, slots=True)
class WantedUser:
    """The user id that a pod is to run as, and where that is said."""

    uid: int
    source: str


@dataclass(frozen=True, slots=True)
class ContainerUser:
    """The user and group ids that a container sees itself as, if its runtime can do that."""

    uid: int
    gid: int


def wanted_user(pod: Pod, flavor: ChosenFlavor, config: UserConfig) -> WantedUser | None:
    """The pod's wish before the flavor's before DefaultUID. Raises InvalidRequest for what a job cannot have."""
    ignored = config.run_as_user is RunAsUser.IGNORE
    wishes = set() if ignored else {uid for each in pod.spec.all_containers if (uid := _uid(pod, each)) is not None}
    if len(wishes) > 1:
        raise InvalidRequest(
            f"the containers of pod {pod.full_name} have different user ids (runAsUser), but a job has one: "
            f"{RUN_AS_USER_HINT}"
        )
    if pod.spec.security_context.fs_group is not None and not ignored:
        raise InvalidRequest(
            f"unsupported fsGroup {pod.spec.security_context.fs_group} of pod {pod.full_name}: volumes belong to the "
            f"account at the site; {RUN_AS_USER_HINT}"
        )
    for uid, source in (
        (next(iter(wishes), None), "its securityContext.runAsUser"),
        (flavor.uid, f"UID of the flavor '{flavor.name}'"),
        (config.default_uid, "DefaultUID in the sidecar's configuration"),
    ):
        if uid is not None:
            return WantedUser(uid, source)
    return None


def container_user(pod: Pod, container: Container, config: UserConfig) -> ContainerUser | None:
    """The ids that `container` requests, if RunAsUser permits that."""
    uid = _uid(pod, container)
    if uid is None or config.run_as_user is not RunAsUser.IGNORE:
        return None
    own, of_pod = container.security_context.run_as_group, pod.spec.security_context.run_as_group
    return ContainerUser(uid, next((gid for gid in (own, of_pod) if gid is not None), uid))


def user_warnings(pod: Pod, config: UserConfig) -> Iterator[str]:
    """What is ignored of the pod."""
    if config.run_as_user is not RunAsUser.IGNORE:
        return
    for container in pod.spec.all_containers:
        if (uid := _uid(pod, container)) is not None:
            yield f"runAsUser {uid} of container '{container.name}' is ignored: files belong to the account at the site"
    if (group := pod.spec.security_context.fs_group) is not None:
        yield f"fsGroup {group} of the pod is ignored: its volumes belong to the account at the site"


def _uid(pod: Pod, container: Container) -> int | None:
    own = container.security_context.run_as_user
    return pod.spec.security_context.run_as_user if own is None else own
