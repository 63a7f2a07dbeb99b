"""Why pods wait, in the log: one line for each reason, however many pods wait for it."""

import logging

import pytest

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.service.pending_reason_log import REPEAT_SECONDS, PendingReasonLog
from remote_slurm.service.pod_store import PodStore
from tests.service.logged import Logged


class Queue:
    def __init__(self) -> None:
        self.now = 5.0
        self.store = PodStore()
        self.reasons = PendingReasonLog(self.store, lambda: self.now)

    def waits(self, number: int, reason: str) -> None:
        self.store.add(f"ns-{number}", f"ns/p{number}").update_from_squeue(Job(str(number), JobState.PENDING, reason))


@pytest.fixture
def queue() -> Queue:
    return Queue()


async def test_a_reason_is_logged_once_with_the_number_of_its_pods(queue: Queue, logged: Logged) -> None:
    for number in range(300):
        queue.waits(number, "QOSMaxJobsPerUserLimit" if number else "None")
    for _ in range(5):
        queue.now += 60
        await queue.reasons.notice()
    (line,) = logged.with_message("pods wait in Slurm")
    assert line.level == "INFO"
    assert line.fields["pods"] == 299
    assert line.fields["reason"].startswith("QOSMaxJobsPerUserLimit: a limit of its QOS")
    assert (line.fields["pod"], line.fields["job"]) == ("ns/p1", "1")


async def test_a_reason_that_comes_and_goes_is_logged_once_an_hour_at_most(queue: Queue, logged: Logged) -> None:
    for minute in range(60):
        queue.now += 60
        queue.waits(1, ("Resources", "Priority")[minute % 2])
        await queue.reasons.notice()
    assert [line.fields["reason"].split(":")[0] for line in logged.with_message("pods wait in Slurm")] == [
        "Resources",
        "Priority",
    ]
    queue.now += REPEAT_SECONDS
    await queue.reasons.notice()
    assert len(logged.with_message("pods wait in Slurm")) == 3


async def test_each_pod_whose_reason_changes_is_logged_as_debug(queue: Queue, logged: Logged) -> None:
    logging.getLogger("remote_slurm").setLevel(logging.DEBUG)
    queue.waits(1, "Priority")
    queue.waits(1, "Priority")
    queue.waits(1, "PartitionDown")
    (line,) = logged.with_message("job waits for another reason")
    assert (line.level, line.fields["reason"]) == ("DEBUG", "PartitionDown")
