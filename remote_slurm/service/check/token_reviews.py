"""Whether the Kubernetes API reviews tokens for the sidecar (PortForward.TokenReview): it is asked to review one."""

from __future__ import annotations

from remote_slurm.config import Config
from remote_slurm.service.check.findings import Finding
from remote_slurm.service.kubernetes_api import NEEDS_PACKAGES, Cluster, NoCredentials, is_installed

TOKEN_REVIEWS = "service accounts"  # noqa: S105 - the name of a check
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_NEEDS_RULE = (
    "bind the account of CUSTOMKUBECONF to a ClusterRole with the rule apiGroups: [authentication.k8s.io], "
    "resources: [tokenreviews], verbs: [create]"
)


def is_needed(config: Config) -> bool:
    """Whether service accounts may forward ports."""
    return config.port_forward.port is not None and bool(config.port_forward.token_review.audiences)


async def check_token_reviews(config: Config) -> Finding:
    """Let the API review a token that is none: only an account that may create tokenreviews gets a reply."""
    if not is_installed():
        return Finding(TOKEN_REVIEWS, None, f"not checked: {NEEDS_PACKAGES}")
    assert config.custom_kubeconf is not None  # noqa: S101 - the configuration requires it
    try:
        cluster = Cluster(config.custom_kubeconf)
    except NoCredentials as error:
        return Finding(TOKEN_REVIEWS, ok=False, message=str(error))
    audiences = config.port_forward.token_review.audiences
    failure = await cluster.why_no_review(audiences)
    if failure is None:
        intended = " or ".join(audiences)
        return Finding(TOKEN_REVIEWS, ok=True, message=f"{cluster.address} reviews tokens for the audience {intended}")
    remedy = {
        _FORBIDDEN: _NEEDS_RULE,
        _UNAUTHORIZED: "renew the credentials in CUSTOMKUBECONF",
        None: "verify the address of the API in CUSTOMKUBECONF, and the network",
    }.get(failure.status, "see the log of the Kubernetes API")
    message = f"{cluster.address} reviews no tokens for the sidecar: {failure.reason}"
    return Finding(TOKEN_REVIEWS, ok=False, message=message, remedy=remedy)
