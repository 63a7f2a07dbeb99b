"""What a container prints or writes decides nothing: neither how it ended, nor whether that counts, nor what comes."""

from typing import Any

from remote_slurm.domain.pod.model import parse_pod
from remote_slurm.domain.records import Record
from remote_slurm.domain.shell import quote
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_status import pod_status
from remote_slurm.domain.status.view import PodView
from tests.domain.podspec import container, pod
from tests.job.node import POD, Node, sh

# What the runner, Slurm's runtimes and records say themselves
WORDS = (
    "not started: db", "not started", "not started again: no", "oh: the job was told to stop",
    "the job was told to stop", "the job was told to stop; more", "x; the job was about to reach its time limit",
    "Slurm has requeued the job", "DeadlineExceeded: the pod was active",
    "ErrImageNeverPull: image a is not in the cache, and ImagePull is never",
    "the process that watched it was killed", "how it ended was not recorded", "killed", "NotReady", "reason=NotReady",
    "reason=JobStopped the job was told to stop", "run=7 record=99 restarts=99 reason=JobStopped last=1,2,3,4 x",
    "v1 ns-1 x terminated 1 2 0 0 record=99 restarts=0 reason=Completed",
    "a\nv1 ns-1 x running 1 0 0 0 record=9 restarts=0\n.", "tab\there\tand there", "back\\slash\\n\\t\\",
    ">log 0", ">ended 0", "at=/tmp;over;|", "failed=no|", "%0A%7C", "- \u20ac \u2028.",
)  # fmt: skip
CHANNELS = ("File", "FallbackToLogsOnError")


def says(number: int, words: str, channel: str) -> str:
    """A container that ends with these words, in its message or as the end of its log."""
    name = f"c{number}"
    target = f">messages/{name}" if channel == "File" else ""
    call = f"termination_message messages/{name} {channel}"
    return f"{call}\ncontainer {name} {sh(f'printf %s {quote(words)} {target}; exit 1')}"


def status(record: Record, state: JobState, **fields: Any) -> dict[str, Any]:
    records = {} if "previous_records" in fields else {record.container: record}
    reported = pod_status(
        parse_pod(pod(container(record.container)), "status"), PodView(Job("7", state), records, **fields)
    )
    return reported["containers"][0]


def job(run: int) -> str:
    """The words take turns in the two channels, and have the other one in the next run."""
    return "\n".join(says(number, words, CHANNELS[(number + run) % 2]) for number, words in enumerate(WORDS))


def test_no_words_of_a_container_change_its_reported_end(node: Node) -> None:
    for run in (0, 1):
        assert node.run(job(run), run=run).code == 1
        ends = [node.ended(f"c{number}") for number in range(len(WORDS))]
        assert [(end.pod, end.exit_code, end.message) for end in ends] == [(POD, 1, words) for words in WORDS]
        for end in ends:
            at_once, later = status(end, JobState.RUNNING), status(end, JobState.TIMEOUT, final=True)
            assert at_once["state"] == later["state"], end.message
            assert at_once["state"]["terminated"]["message"] == end.message
            again = status(end, JobState.PENDING, previous_records={end.container: end}, runs=1)
            assert again["lastState"]["terminated"]["message"] == end.message
        last = [end.last and (end.last.exit_code, end.last.message) for end in ends]
        assert last == [(1, words) if run else None for words in WORDS]
