"""A kubeconfig that cannot be used gives one clear message, whatever is in it."""

import sys
from pathlib import Path

import pytest

from remote_slurm.service.kubernetes_api import Cluster, NoCredentials


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "it does not exist"),
        (b"", "Invalid kube-config."),
        (b"a: [", "it is no kubeconfig"),
        (b"\xff\xfe", "it is no kubeconfig"),
        (b"just words", "it is no kubeconfig"),
        (b"- a list", "it is no kubeconfig"),
        (b"apiVersion: v1", "Invalid kube-config file. Expected key current-context in"),
    ],
)
def test_what_is_wrong_with_it(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NoCredentials) as refused:
        Cluster(file)
    assert str(refused.value).startswith(f"CUSTOMKUBECONF {file} cannot be used: {why}")
    assert "; name a kubeconfig, or in-cluster" in str(refused.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoCredentials, match="Is a directory; name a kubeconfig"):
        Cluster(tmp_path)


def test_without_the_packages_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)  # as if it is not installed
    with pytest.raises(NoCredentials) as refused:
        Cluster(tmp_path / "kubeconfig")
    assert str(refused.value) == (
        "CUSTOMKUBECONF needs packages that are not installed here: pip install 'remote-slurm[kubernetes]', or leave "
        "CUSTOMKUBECONF empty"
    )
