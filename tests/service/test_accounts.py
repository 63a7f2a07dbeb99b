"""Several accounts at a site, one of which is not reached yet: what may be there is neither invented nor forgotten."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence

import pytest

from remote_slurm.config import Identity
from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.pods import Pods
from tests.fake_site import FakeAccount, FakeSite, SlurmJob
from tests.pods import key, pod, sh
from tests.service.test_machine import CONFIG, Disk
from tests.service.virtual_time import VirtualLoop


class Moved:
    """A pod that runs as alice; by the configuration of today it would be bob's. `names` are all that it has."""

    def __init__(self, names: Sequence[str] = ("bob", "alice")) -> None:
        self.loop = VirtualLoop()
        self.pod = pod(sh("c", "sleep 100"))
        self.pod["metadata"]["annotations"]["JobID"] = "101"
        self.sites = {name: FakeAccount(self.loop.time) for name in ("bob", "alice")}
        alice = self.sites["alice"]
        alice.jobs["101"] = SlurmJob("101", key(self.pod))
        alice.folders[key(self.pod)] = {}
        alice.ids[key(self.pod)] = "101"
        alice.start(alice.jobs["101"])
        self.lines = {name: FakeSite(site) for name, site in self.sites.items()}
        self.lines["alice"].down = True
        identities = {"bob": Identity(namespaces=("default",)), "alice": Identity(namespaces=("other",))}
        config = CONFIG.model_copy(update={"identities": identities})
        self.accounts = Accounts(
            {name: Pods(self.lines[name], config, Disk(), clock=self.loop.time) for name in names},
            config,
        )
        self.run(self._start())

    async def _start(self) -> None:
        for pods in self.accounts:
            pods.start()

    def run(self, work: Coroutine[None, None, None]) -> None:
        self.loop.run_until_complete(work)

    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def state(self) -> str:
        """Of its container; nothing where nothing is told."""
        reported = self.accounts.status([parse_pod(self.pod, "status")])
        return next(iter(reported[0]["containers"][0]["state"])) if reported else ""


@pytest.fixture
def moved() -> Iterator[Moved]:
    made = Moved()
    yield made
    made.run(made.accounts.stop())
    made.loop.close()


def test_a_pod_of_an_unrecovered_account_has_no_status(moved: Moved) -> None:
    for _ in range(5):
        moved.wait(200)
        assert moved.state() == ""
    moved.lines["alice"].down = False
    moved.wait(30)
    assert moved.state() == "running"
    moved.wait(900)
    assert moved.state() == "running"


def test_a_delete_reaches_it_once_its_account_is_reached(moved: Moved) -> None:
    moved.wait(10)
    moved.accounts.delete(parse_pod(moved.pod, "delete"))
    moved.wait(60)
    moved.lines["alice"].down = False
    moved.wait(60)
    alice = moved.sites["alice"]
    assert (alice.jobs["101"].state.phase.name, alice.folders) == ("ENDED", {})
    assert alice.jobs["101"].state is not JobState.COMPLETED


def test_a_sidecar_that_has_lost_its_journal_finishes_what_was_begun(moved: Moved) -> None:
    """Its tombstone was written, and then the sidecar died before the job was told to stop."""
    moved.sites["alice"].tombstones.add(key(moved.pod))
    moved.lines["alice"].down = False
    moved.wait(60)
    assert (moved.sites["alice"].active(key(moved.pod)), moved.sites["alice"].folders) == ([], {})


def test_a_changed_mapping_leaves_it_where_it_is(moved: Moved) -> None:
    moved.lines["alice"].down = False
    moved.wait(30)
    assert moved.accounts.of(parse_pod(moved.pod, "status")).knows(key(moved.pod))
    assert (len(moved.sites["alice"].jobs), len(moved.sites["bob"].jobs)) == (1, 0)
    moved.accounts.delete(parse_pod(moved.pod, "delete"))
    moved.wait(120)
    assert (moved.sites["alice"].active(key(moved.pod)), moved.sites["alice"].folders) == ([], {})


def test_an_identity_that_is_gone_leaves_its_pods_behind_as_lost() -> None:
    left = Moved(["bob"])
    left.wait(60)
    assert left.state() == ""
    left.wait(900)
    assert left.state() == "terminated"
    assert left.sites["alice"].active(key(left.pod))
    left.run(left.accounts.stop())
    left.loop.close()
