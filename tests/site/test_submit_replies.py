"""What submit.sh and withdraw.sh print -> the outcome of each pod."""

import pytest

from remote_slurm.domain.runtimes.images import PullFailure
from remote_slurm.domain.slurm.refusals import Refusal
from remote_slurm.domain.submit_outcome import (
    Attempted,
    Deleted,
    Pulling,
    SbatchFailed,
    Stored,
    SubmitOutcome,
    Submitted,
    Unpullable,
)
from remote_slurm.errors import Code, RemoteFailed
from remote_slurm.site.operations import submit, withdraw
from remote_slurm.site.pod_replies import PodReplies


@pytest.mark.parametrize(
    ("output", "outcome"),
    [
        (b">submitted ns-1 42\n", Submitted("42")),
        (b">message ns-1 \n>message ns-1 sbatch: error: no\n>failed ns-1 1\n", SbatchFailed(Refusal.FOR_GOOD, "no")),
        (b">message ns-1 >submitted ns-1 9\n>failed ns-1 1\n", SbatchFailed(Refusal.FOR_GOOD, ">submitted ns-1 9")),
        (b">message ns-2 theirs\n>failed ns-1 1\n", SbatchFailed(Refusal.FOR_GOOD, "")),
        (b"> \nnoise\xff\n>attempted ns-1\n", Attempted()),
        (b">message ns-1 pages\n>attempted ns-1\n", Attempted("pages")),
        (b">deleted ns-1\n", Deleted()),
        (b">stored ns-1\n", Stored()),
        (b">pulling ns-1 docker://a:1\n", Pulling(image="docker://a:1")),
        (b">failing ns-1 ErrImagePull FATAL: no\n", Pulling(failure=PullFailure("ErrImagePull", "FATAL: no"))),
        (
            b">unpullable ns-1 ErrImageNeverPull it is not there\n",
            Unpullable(PullFailure("ErrImageNeverPull", "it is not there")),
        ),
    ],
)
def test_an_outcome_does_not_depend_on_the_pieces_it_arrives_in(output: bytes, outcome: SubmitOutcome) -> None:
    for cut in range(len(output)):
        replies: PodReplies[SubmitOutcome] = PodReplies(submit.outcome)
        assert [*replies.feed(output[:cut]), *replies.feed(output[cut:])] == [("ns-1", outcome)]


def test_a_withdrawn_pod() -> None:
    replies = PodReplies(withdraw.is_done)
    assert list(replies.feed(b">root /r\n>withdrawn ns-1\n>withdrawn ns-2\n")) == [("ns-1", True), ("ns-2", True)]


def test_files_that_cannot_be_written_fail_with_the_message_of_the_site() -> None:
    ((pod, error),) = PodReplies(submit.outcome).feed(b"tar: No space left on device\n>short ns-1\n")
    assert pod == "ns-1"
    assert isinstance(error, RemoteFailed)
    assert str(error) == (
        "the pod's files could not be written at the site, because the file system or quota of DataRootFolder is full: "
        "tar: No space left on device"
    )
    assert error.code is Code.NO_SPACE


def test_other_write_errors_do_not_claim_a_full_disk() -> None:
    ((_, error),) = PodReplies(submit.outcome).feed(b"mkdir: Read-only file system\n>short ns-1\n")
    assert str(error) == "the pod's files could not be written at the site: mkdir: Read-only file system"
