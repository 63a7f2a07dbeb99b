"""What `remote-slurm check` says of the reviews of service accounts' tokens, at a stand-in for the Kubernetes API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.config import Config
from remote_slurm.service.check.token_reviews import check_token_reviews, is_needed
from tests.domain.podspec import config
from tests.kube_api import REVIEWS, KubeApi, kube_api


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with kube_api() as api:
        yield api


def settings(kubeconfig: Path, **block: Any) -> Config:
    forward = {"Port": 0, "TokenReview": {"Audiences": ["remote-slurm"]}, **block}
    return config(CUSTOMKUBECONF=str(kubeconfig), PortForward=forward)


async def test_an_account_that_may_review_tokens_passes(api: KubeApi, tmp_path: Path) -> None:
    found = await check_token_reviews(settings(api.kubeconfig(tmp_path)))
    assert (found.ok, found.remedy) == (True, "")
    assert found.message == f"http://127.0.0.1:{api.port} reviews tokens for the audience remote-slurm"
    assert api.asked == [f"POST {REVIEWS}"]


async def test_the_rule_that_an_account_lacks_is_named(api: KubeApi, tmp_path: Path) -> None:
    api.forbidden.add("tokenreviews")
    found = await check_token_reviews(settings(api.kubeconfig(tmp_path)))
    assert (found.ok, found.message.partition("sidecar: ")[2]) == (False, "403 Forbidden")
    for part in ("ClusterRole", "apiGroups: [authentication.k8s.io]", "resources: [tokenreviews]", "verbs: [create]"):
        assert part in found.remedy


async def test_credentials_that_the_api_rejects_are_named(api: KubeApi, tmp_path: Path) -> None:
    path = api.kubeconfig(tmp_path)
    path.write_text(path.read_text().replace("a-token-of-the-test", "another"))
    found = await check_token_reviews(settings(path))
    assert (found.ok, found.remedy) == (False, "renew the credentials in CUSTOMKUBECONF")
    assert "401 Unauthorized" in found.message


async def test_an_api_that_is_away_is_named(tmp_path: Path) -> None:
    with kube_api() as api:
        path = api.kubeconfig(tmp_path)
    found = await check_token_reviews(settings(path))
    assert found.ok is False
    assert "Connection refused" in found.message
    assert "address of the API" in found.remedy


async def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("[]")
    found = await check_token_reviews(settings(path))
    assert (found.ok, "cannot be used" in found.message) == (False, True)


def test_it_is_checked_only_if_service_accounts_may_forward(tmp_path: Path) -> None:
    assert is_needed(settings(tmp_path))
    assert not is_needed(settings(tmp_path, Port=None))
    assert not is_needed(config())
