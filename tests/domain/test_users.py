"""As whom a pod is to run: its own wish, else its flavor's, else DefaultUID; only the account's own can be had."""

from typing import Any

import pytest
from podspec import container, plan, pod

from remote_slurm.domain.plan import WantedUser
from remote_slurm.errors import Rejected

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


def test_nobody_in_particular() -> None:
    planned = plan(pod())
    assert planned.user is None
    planned.refuse_other_user(1000)


def test_a_job_has_one_user() -> None:
    with pytest.raises(Rejected, match="are to run as different users, and a job has one"):
        plan(pod(container("a", **as_user(1)), container("b", **as_user(2))))


def test_only_the_accounts_own_can_be_had() -> None:
    planned = plan(pod(**as_user(1000)))
    planned.refuse_other_user(1000)
    planned.refuse_other_user(None)
    with pytest.raises(Rejected) as refused:
        planned.refuse_other_user(20001)
    assert str(refused.value) == (
        "pod default/hello is to run as user id 1000 (its securityContext.runAsUser), and jobs run as the account at "
        "the site, whose user id is 20001: another one would need root"
    )
