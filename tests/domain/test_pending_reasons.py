"""Reasons of waiting jobs as labels of a metric: few, whatever Slurm prints."""

import pytest

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.slurm.pending_reasons import reason_label, reason_meaning
from remote_slurm.domain.status.pod_summary import PodSummary
from remote_slurm.domain.status.view import PodView

LABELS = [
    ("Resources", "Resources"),
    ("ReqNodeNotAvail, UnavailableNodes:n1", "ReqNodeNotAvail"),
    ("QOSMaxCpuPerUserLimit", "QOSMax"),
    ("QOSMaxJobsPerUserLimit", "QOSMax"),
    ("AssocGrpCpuLimit", "AssocGrp"),
    ("Nodes required for job are DOWN, DRAINED or reserved", "Nodes_required_for_job"),
    ("None", "None"),
    ("A_reason_of_this_site", "other"),
]


@pytest.mark.parametrize(("reason", "label"), LABELS)
def test_the_label_of_a_reason(reason: str, label: str) -> None:
    waiting = PodSummary(PodView(Job("7", JobState.PENDING, reason), {}))
    assert (reason_label(Job("7", JobState.PENDING, reason)), waiting.waiting_label) == (label, label)
    assert bool(reason_meaning(label)) is (label not in ("None", "other"))


def test_only_pods_that_wait_have_one() -> None:
    assert PodSummary(PodView(None, {})).waiting_label == "Submitting"
    assert PodSummary(PodView(Job("7", JobState.RUNNING, "None"), {})).waiting_label == ""
