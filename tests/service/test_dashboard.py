"""How pods stand, for people, where their folders lie on nodes that the login node does not see."""

import pytest

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.dashboard import listed_pod
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.operations.list import Listed

POD = "ns-1"


@pytest.mark.parametrize("listed", [("main",), ()])  # none, where the pod has a shell of its own before its containers
def test_the_records_in_a_jobs_comment_are_shown(listed: tuple[str, ...]) -> None:
    tracked = TrackedPod(POD)
    tracked.update_from_squeue(
        job := Job("7", JobState.RUNNING, pod=POD, comment="at=/tmp/a;main terminated 5 9 3 0 sorry;|")
    )
    pod = Listed(POD, "ns/one", 30, (), listed, "7", 10, ())
    (container,) = listed_pod(pod, tracked, [job])["containers"]
    assert container == {
        "name": "main",
        "state": "terminated",
        "startedAt": 5,
        "exitCode": 3,
        "finishedAt": 9,
        "message": "sorry",
    }
