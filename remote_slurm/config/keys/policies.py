"""Keys for what pods may request, for the accounts at the site, and for volumes."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from remote_slurm.config.block import KeyGroup, setting
from remote_slurm.config.identity import Identity
from remote_slurm.config.path_types import AbsoluteSitePath, ClaimKey, ClaimPath
from remote_slurm.config.policy import PodPolicy, Policy
from remote_slurm.config.scalar_types import Label, OneLine, UnsupportedVolumes, VolumeRule


class PolicyKeys(KeyGroup):
    """Rules for pods, and the accounts that run them."""

    title: ClassVar[str] = "Policies and accounts"

    policy: Policy = Field(
        default_factory=Policy,
        description="Rules for all pods. A pod that breaks a rule is rejected with the name of the rule.",
    )
    identities: Mapping[Label, Identity] = setting(
        {},
        "Accounts at the site for pods of different owners, by name. Each identity has its own connection. A pod "
        "that matches no identity is rejected. Empty: all pods run as SSH.User.",
    )
    identity_annotation: OneLine = setting(
        "",
        "Annotation by which a pod selects one of the Identities that match it. Without the annotation, the first "
        "match applies.",
    )
    allowed_host_paths: tuple[AbsoluteSitePath, ...] = setting(
        (),
        "Folders at the site that hostPath volumes may use, with everything below them. Links must not lead out "
        "of them. Empty: all paths that the account can use.",
    )
    policies: Mapping[Label, PodPolicy] = setting(
        {},
        "Rules for the pods of some Namespaces or Identities, by name, in addition to Policy. The first entry "
        "that matches a pod applies to it, and allows only what it lists. With any entry, pods that match no "
        "entry are rejected.",
    )

    @field_validator("identities")
    @classmethod
    def _each_has_its_own_folder(cls, identities: Mapping[str, Identity], info: ValidationInfo) -> Any:
        """Two connections that poll the same folder would take it from each other."""
        ssh, folder = info.data.get("ssh"), info.data.get("data_root_folder")
        seen: dict[tuple[str, str], str] = {}
        for name, identity in identities.items():
            user = identity.ssh.user or (ssh.user if ssh else "")
            place = user, identity.data_root_folder or folder or ""
            if place in seen:
                raise ValueError(
                    f"{seen[place]} and {name} have the same account and folder at the site ({user}, {place[1]}): give "
                    "one of them another SSH.User or DataRootFolder, or merge them"
                )
            seen[place] = name
        unmatched = [name for name, each in identities.items() if not each.namespaces and not each.service_accounts]
        if unmatched:
            names = ", ".join(unmatched)
            raise ValueError(f"{names} match no pod: set Namespaces or ServiceAccounts of each")
        return identities

    @field_validator("policies")
    @classmethod
    def _each_is_for_some_pods(cls, policies: Mapping[str, PodPolicy], info: ValidationInfo) -> Any:
        identities, paths = info.data.get("identities"), info.data.get("allowed_host_paths")
        for name, policy in policies.items():
            if not policy.namespaces and not policy.identities:
                raise ValueError(f"{name} matches no pod: set its Namespaces or Identities")
            for unknown in [each for each in policy.identities if identities is not None and each not in identities]:
                known = ", ".join(identities or ()) or "none are configured"
                raise ValueError(f"{name} names the identity {unknown!r}, which is not in Identities: {known}")
            for path in policy.allowed_host_paths:
                if paths and not any(PurePosixPath(path).is_relative_to(each) for each in paths):
                    raise ValueError(f"{name} allows {path}, which AllowedHostPaths does not: {', '.join(paths)}")
        return policies


class VolumeKeys(KeyGroup):
    """Which paths at the site volumes have."""

    title: ClassVar[str] = "Volumes"

    persistent_volume_claims: Mapping[ClaimKey, ClaimPath] = setting(
        {},
        "Paths at the site for persistentVolumeClaims, by `namespace/claim`, `claim`, `storageClass/name` "
        "(requires CUSTOMKUBECONF), or `*` for all others. A path may contain {namespace} and {claim}; such a "
        "folder is created if it is missing.",
    )
    unsupported_volumes: VolumeRule = setting(
        UnsupportedVolumes.REFUSE,
        "How to handle a pod that mounts a volume of a type that a Slurm job cannot have, such as nfs or csi. "
        "refuse: reject the pod. leave-out: run the pod without the volume, and report it in the logs of the pod "
        "and of the sidecar.",
    )
