"""Keys for the Kubernetes API, and keys without effect."""

from typing import Any, ClassVar

from pydantic import ValidationInfo, field_validator

from remote_slurm.config.block import KeyGroup, setting
from remote_slurm.config.path_types import STORAGE_CLASS, Kubeconfig
from remote_slurm.config.scalar_types import OneLine

_INTERLINKS_OWN = "belongs to interLink's own configuration and has no effect here"


class KubernetesKeys(KeyGroup):
    """Access to the Kubernetes API."""

    title: ClassVar[str] = "Kubernetes API"

    custom_kubeconf: Kubeconfig | None = setting(
        None,
        "Local path of the kubeconfig of a service account, or `in-cluster`. With it, the sidecar creates Events "
        "on pods, fetches ConfigMaps and Secrets that are missing in a request, and submits no pod that no longer "
        "exists. Requires the extra `kubernetes`.",
        key="CUSTOMKUBECONF",
        environment="CUSTOMKUBECONF",
    )

    @field_validator("custom_kubeconf")
    @classmethod
    def _is_there_if_required(cls, kubeconfig: Any, info: ValidationInfo) -> Any:
        claims = info.data.get("persistent_volume_claims", {})
        if kubeconfig is None and any(key.startswith(STORAGE_CLASS) for key in claims):
            raise ValueError(
                f"is required by keys of PersistentVolumeClaims that begin with {STORAGE_CLASS}: the sidecar asks "
                "Kubernetes "
                "for the storage class of a claim"
            )
        block = info.data.get("port_forward")
        if kubeconfig is None and block is not None and block.token_review.audiences:
            raise ValueError("is required by PortForward.TokenReview: the Kubernetes API reviews the tokens of clients")
        return kubeconfig


class IgnoredKeys(KeyGroup):
    """Keys in many files of the reference plugin, which ignores them."""

    title: ClassVar[str] = "Keys without effect"

    interlink_url: OneLine = setting("", "Accepted, without effect.", no_effect=_INTERLINKS_OWN)
    interlink_port: OneLine = setting("", "Accepted, without effect.", no_effect=_INTERLINKS_OWN)
    sidecar_url: OneLine = setting(
        "", "Accepted, without effect.", no_effect=f"{_INTERLINKS_OWN}: BindAddress is where the sidecar listens"
    )
    vk_config_path: OneLine = setting("", "Accepted, without effect.", no_effect=_INTERLINKS_OWN)
