"""Which account a pod runs as, and that no pod gets an account of others."""

from pathlib import Path
from typing import Any

import pytest

from remote_slurm.config import AccountConfig, Config
from remote_slurm.domain.pod.account import identity_of
from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import config, pod

CHOICE = "example.org/identity"
SETTINGS = config(
    IdentityAnnotation=CHOICE,
    Identities={
        "physics": {"Namespaces": ["physics", "physics-*"], "SSH": {"User": "alice", "IdentityFile": "/keys/alice"}},
        "batch": {"ServiceAccounts": ["*/batch"], "SSH": {"User": "bob"}, "QOS": "long", "Account": "phys"},
        "guests": {"Namespaces": ["guest-?", "physics"], "DataRootFolder": "/scratch/guests"},
    },
)


def chosen(namespace: str, service_account: str = "default", annotation: str = "", settings: Config = SETTINGS) -> str:
    body = pod(annotations={CHOICE: annotation} if annotation else None, serviceAccountName=service_account)
    body["metadata"]["namespace"] = namespace
    return identity_of(parse_pod(body, "test"), AccountConfig.from_config(settings))


@pytest.mark.parametrize(
    ("namespace", "service_account", "annotation", "identity"),
    [
        ("physics", "default", "", "physics"),
        ("physics-2", "default", "", "physics"),
        ("guest-1", "default", "", "guests"),
        ("physics", "batch", "", "batch"),  # says more than a namespace
        ("elsewhere", "batch", "", "batch"),
        ("physics", "default", "guests", "guests"),  # selects one of its own
        ("physics", "batch", "physics", "physics"),
    ],
)
def test_whose_a_pod_is(namespace: str, service_account: str, annotation: str, identity: str) -> None:
    assert chosen(namespace, service_account, annotation) == identity


@pytest.mark.parametrize(
    ("namespace", "annotation", "sentence"),
    [
        ("chemistry", "", "no entry of Identities in the sidecar's configuration matches the namespace 'chemistry'"),
        (
            "physics-2",
            "batch",
            "invalid identity 'batch' .*: it does not match the pod's namespace and service account",
        ),
        ("guest-1", "physics", "'physics' .*: it does not match the pod's namespace and service account"),
        ("guest-1", "guest", "invalid identity 'guest' .*: unknown, did you mean guests"),
        ("chemistry", "guest", "invalid identity 'guest' .*: unknown$"),
        ("guest-12", "", "matches the namespace 'guest-12' or the service account 'default'"),
    ],
)
def test_a_pod_without_an_account_is_rejected(namespace: str, annotation: str, sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        chosen(namespace, annotation=annotation)


def test_without_an_annotation_configured_it_means_nothing() -> None:
    settings = config(Identities={"a": {"Namespaces": ["*"]}})
    assert chosen("any", annotation="b", settings=settings) == "a"


def test_a_namespace_pattern_does_not_match_service_account_names() -> None:
    settings = config(Identities={"a": {"ServiceAccounts": ["team-*/x"]}})
    assert chosen("team-1", "x", settings=settings) == "a"
    with pytest.raises(InvalidRequest):
        chosen("team-1", "y", settings=settings)


def test_without_identities_all_are_the_same() -> None:
    assert chosen("any", settings=config()) == ""
    assert list(config().accounts) == [""]


def test_what_an_identity_has_for_itself_and_what_it_shares() -> None:
    accounts: dict[str, Any] = SETTINGS.accounts
    assert list(accounts) == ["physics", "batch", "guests"]
    assert [each.ssh.user for each in accounts.values()] == ["alice", "bob", "hpcuser"]
    assert [str(each.ssh.identity_file) for each in accounts.values()] == ["/keys/alice", "/keys/id", "/keys/id"]
    assert accounts["batch"].policy.forced_flags == ("--account=phys", "--qos=long")
    assert accounts["guests"].data_root_folder == "/scratch/guests"
    assert len({each.state_folder for each in accounts.values()}) == 3


def test_a_key_of_its_own_brings_no_certificate_of_the_other() -> None:
    base = {"HostName": "h", "User": "u", "IdentityFile": "/k", "CertificateFile": "/k-cert.pub"}
    alice = {"Namespaces": ["a"], "SSH": {"User": "alice", "IdentityFile": "/alice"}}
    settings = config(SSH=base, Identities={"a": alice, "b": {"Namespaces": ["b"], "SSH": {"User": "bob"}}})
    assert settings.accounts["a"].ssh.certificate_file is None
    assert settings.accounts["b"].ssh.certificate_file == Path("/k-cert.pub")
