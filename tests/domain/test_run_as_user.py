"""As whom a pod is to run: its own wish, else its flavor's, else DefaultUID; only the account's own can be had."""

from typing import Any

import pytest

from remote_slurm.domain.plan.run_as_user import WantedUser
from remote_slurm.errors import InvalidRequest
from tests.domain.podspec import container, plan, pod

SETTINGS = {"DefaultUID": 1, "Flavors": {"f": {"UID": 2}}}
FLAVOR = {"slurm-job.vk.io/flavor": "f"}


def as_user(uid: int) -> dict[str, Any]:
    return {"securityContext": {"runAsUser": uid}}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (pod(), WantedUser(1, "DefaultUID in the sidecar's configuration")),
        (pod(annotations=FLAVOR), WantedUser(2, "UID of the flavor 'f'")),
        (pod(annotations=FLAVOR, **as_user(3)), WantedUser(3, "its securityContext.runAsUser")),
        (pod(container(**as_user(0)), **as_user(3)), WantedUser(0, "its securityContext.runAsUser")),
        (pod(container(), container("b", **as_user(3)), **as_user(3)), WantedUser(3, "its securityContext.runAsUser")),
    ],
)
def test_who_is_wanted(body: dict[str, Any], wanted: WantedUser) -> None:
    assert plan(body, settings=SETTINGS).user == wanted


def test_no_user_is_requested() -> None:
    planned = plan(pod())
    assert planned.user is None
    planned.refuse_other_user(1000)


def test_a_job_has_one_user() -> None:
    with pytest.raises(InvalidRequest, match=r"have different user ids \(runAsUser\), but a job has one"):
        plan(pod(container("a", **as_user(1)), container("b", **as_user(2))))


def test_only_the_accounts_own_can_be_had() -> None:
    planned = plan(pod(**as_user(1000)))
    planned.refuse_other_user(1000)
    planned.refuse_other_user(None)
    with pytest.raises(InvalidRequest) as refused:
        planned.refuse_other_user(20001)
    assert str(refused.value) == (
        "invalid user id 1000 of pod default/hello (its securityContext.runAsUser): jobs run as the account at the "
        "site, whose user id is 20001; RunAsUser: ignore in the sidecar's configuration runs such pods as the account"
    )


def test_a_group_of_volumes_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        InvalidRequest, match=r"unsupported fsGroup 100 of .*RunAsUser: ignore in the sidecar's configuration"
    ):
        plan(pod(securityContext={"fsGroup": 100}))


IGNORE = {"RunAsUser": "ignore", "ContainerRuntime": "podman"}


def test_who_is_ignored_is_named_in_a_warning() -> None:
    planned = plan(pod(container(**as_user(0)), securityContext={"runAsUser": 1000, "fsGroup": 100}), settings=IGNORE)
    planned.refuse_other_user(20001)
    assert [each for each in planned.warnings if "ignored" in each] == [
        "runAsUser 0 of container 'main' is ignored: files belong to the account at the site",
        "fsGroup 100 of the pod is ignored: its volumes belong to the account at the site",
    ]


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({}, ["--user=0:0"]),
        ({"runAsUser": 0}, ["--user=0:0"]),
        ({"runAsUser": 1000}, ["--userns=keep-id:uid=1000,gid=1000", "--user=1000:1000"]),
        ({"runAsUser": 1000, "runAsGroup": 0}, ["--userns=keep-id:uid=1000,gid=0", "--user=1000:0"]),
    ],
)
def test_podman_shows_the_account_as_the_user(context: dict[str, int], words: list[str]) -> None:
    (planned,) = plan(pod(container(securityContext=context)), settings=IGNORE).containers
    said = [word for line in planned.lines for word in line if str(word).startswith("--user")]
    assert said == words
    several = pod(container("a", **as_user(1)), container("b", **as_user(2)))
    assert plan(several, settings=IGNORE).user is None
