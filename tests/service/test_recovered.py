"""What a sidecar says of pods that it has just taken over."""

from pathlib import Path

import pytest

from remote_slurm.config import Config
from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.journal import Journal
from remote_slurm.service.pods import Pods
from tests.fake_site import FakeAccount, FakeSite, SlurmJob
from tests.pods import key, pod, sh

CONFIG = Config.model_validate({"SSH": {"HostName": "h.example.org", "User": "u", "IdentityFile": "/k"}})


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.PENDING, JobState.COMPLETED])
async def test_a_pod_whose_records_come_with_squeue_has_no_status_before(tmp_path: Path, state: JobState) -> None:
    """A container that runs was reported as waiting, and so its pod as Pending."""
    account, body = FakeAccount(), pod(sh("c", "true"))
    account.add(SlurmJob("7", key(body), state))
    pods = Pods(FakeSite(account, reports_in_comment=True), CONFIG, Journal(tmp_path))
    await pods.recovery.recover()
    assert pods.status([parse_pod(body, "the pod")]) == []
    await pods.poller.poll()
    assert [status["JID"] for status in pods.status([parse_pod(body, "the pod")])] == ["7"]
