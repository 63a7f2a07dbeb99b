"""Jobs that squeue has forgotten: what the accounting tells of them."""

import pytest

from remote_slurm.domain.slurm import parse_accounting
from remote_slurm.service.entries import Entry

FAILED = "7|FAILED|3:0|"


def accounted(line: str) -> Entry:
    entry = Entry("ns-a", expected=frozenset({"a", "b"}))
    entry.has_job("7")
    (job,) = parse_accounting(line)
    entry.is_accounted(job)
    return entry


def test_a_comment_that_the_accounting_keeps_tells_how_each_container_ended() -> None:
    entry = accounted(f"{FAILED}at=/tmp/x;a terminated 5 6 3 0;b terminated 5 6 0 0;over;|the pod's | own")
    assert {name: record.exit_code for name, record in entry.records.items()} == {"a": 3, "b": 0}
    assert entry.is_complete


def test_why_a_job_could_not_begin_is_told_from_there_as_well() -> None:
    assert accounted(f"{FAILED}failed=no folder|").failure == "job 7: no folder"


@pytest.mark.parametrize("comment", ["", "somebody's own", "|somebody's own"])
def test_without_one_the_job_itself_has_an_exit_code(comment: str) -> None:
    entry = accounted(FAILED + comment)
    assert entry.records == {}
    assert entry.job is not None
    assert (entry.job.pod, entry.job.exit_code) == ("ns-a", 3)
