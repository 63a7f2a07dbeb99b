"""Jobs that squeue no longer lists: what accounting reports."""

import pytest

from remote_slurm.domain.slurm.sacct import parse_accounting
from remote_slurm.service.tracked_pod import TrackedPod

FAILED = "7|FAILED|3:0|1795470000|1795470001|1795470009|main|n1|cpu=1|sbatch /r/ns-a/job.sh|"


def accounted(line: str) -> TrackedPod:
    tracked = TrackedPod("ns-a", container_names=("a", "b"))
    tracked.set_job_id("7")
    (job,) = parse_accounting(line)
    tracked.update_from_sacct(job)
    return tracked


def test_a_comment_in_the_accounting_has_the_end_of_each_container() -> None:
    tracked = accounted(f"{FAILED}at=/tmp/x;a terminated 5 6 3 0;b terminated 5 6 0 0;over;|the pod's | own")
    assert {name: record.exit_code for name, record in tracked.records.items()} == {"a": 3, "b": 0}
    assert tracked.is_complete


def test_accounting_has_the_reason_of_a_job_that_could_not_begin() -> None:
    assert accounted(f"{FAILED}failed=no folder|").failure == "job 7: no folder"


@pytest.mark.parametrize("comment", ["", "somebody's own", "|somebody's own"])
def test_without_one_the_job_itself_has_an_exit_code(comment: str) -> None:
    tracked = accounted(FAILED + comment)
    assert tracked.records == {}
    assert tracked.job is not None
    assert (tracked.job.pod, tracked.job.exit_code) == ("ns-a", 3)
