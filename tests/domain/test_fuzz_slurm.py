"""Slurm's output cut off at every byte, and with banners before and after: no crash, and no state that was not said."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_slurm.domain.records import Record, parse_records
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.slurm.refusals import classify_refusal
from remote_slurm.domain.slurm.sacct import parse_accounting
from remote_slurm.domain.slurm.sbatch_messages import sbatch_message
from remote_slurm.domain.slurm.sinfo import parse_nodes
from remote_slurm.domain.slurm.squeue import parse_jobs
from remote_slurm.site.reply import Reply
from tests.hypothesis_settings import effort

ROOT = "/scratch/hpcuser/interlink"
QUEUE = (
    f"101|RUNNING|None|1795478290|n1|1795470000|main|N/A|{ROOT}/ns-1/job.sh\n"
    f"102|PENDING|Resources|N/A|n/a|1795470000|main|N/A|{ROOT}/ns-2/job.sh\n"
    f"103|CANCELLED|None|1795478291|n1|1795470000|main|N/A|{ROOT}/ns-3/job.sh\n"
    "104|COMPLETED|None|1795478291|n1|1795470000|main|N/A|/home/hpcuser/ns-4/job.sh\n"
    f"105|REQUEUE_HOLD|launch failed requeued held|N/A|n/a|1795470000|main|N/A|{ROOT}/ns-5/job.sh\n"
)
ACCOUNTING = "".join(
    f"{number}|{state}|0:0|1795470000|1795470001|1795470009|main|n1|cpu=2|sbatch {ROOT}/ns-1/job.sh\n"
    for number, state in ((101, "COMPLETED"), (102, "CANCELLED by 1000"), (103, "OUT_OF_MEMORY"), (104, "RUNNING"))
)
RECORDS = (
    "v1 ns-1 main terminated 1795478290 1795478299 137 9 run=1 the job was told to stop\n"
    "v1 ns-2 main running 1795478290 0 0 0\n"
)
NODES = "n1|64|512000|idle|gpu:a100:4(S:0-1)\nn2|64|512000|down*|(null)\n"
BANNERS = ["", "Welcome to the cluster!\n", "5", "\x1b[1mTuesday | \x1b[0m\n", "|||||\n", "\x00\r\n", ">queue 0\n"]


def parse_queue(text: str) -> list[Job]:
    return [
        job
        for line in text.split("\n")
        for job in parse_jobs(line, (ROOT,), lambda array, task: f"{array}-{task}")
        if job.pod
    ]


def said(state: JobState, whole: JobState) -> bool:
    return state in (whole, JobState.UNKNOWN)


def same_or_less(found: list[Job], whole: list[Job]) -> bool:
    known = {job.id: job for job in whole}
    return all(job.id in known and said(job.state, known[job.id].state) for job in found)


@pytest.mark.parametrize("banner", BANNERS)
def test_a_queue_that_is_cut_off_anywhere(banner: str) -> None:
    whole = parse_queue(QUEUE)
    assert [job.pod for job in whole] == ["ns-1", "ns-2", "ns-3", "ns-5"]
    for end in range(len(QUEUE) + 1):
        found = parse_queue(f"{QUEUE[:end]}{banner}")
        assert same_or_less(found, whole)
        assert {job.pod for job in found} <= {job.pod for job in whole}
    for begin in range(len(QUEUE) + 1):
        found = parse_queue(f"{banner}{QUEUE[begin:]}")
        assert {(job.pod, job.state) for job in found} <= {
            (job.pod, state) for job in whole for state in (job.state, JobState.UNKNOWN)
        }


@pytest.mark.parametrize("banner", BANNERS)
def test_an_accounting_that_is_cut_off_anywhere(banner: str) -> None:
    whole = parse_accounting(ACCOUNTING)
    for end in range(len(ACCOUNTING) + 1):
        assert same_or_less(parse_accounting(f"{ACCOUNTING[:end]}\n{banner}"), whole)


@pytest.mark.parametrize("banner", BANNERS)
def test_records_that_are_cut_off_anywhere(banner: str) -> None:
    whole = parse_records(RECORDS)
    for end in range(len(RECORDS) + 1):
        assert all(record in whole for record in parse_records(RECORDS[:end]))
        assert all(record.pod in ("ns-1", "ns-2") for record in parse_records(f"{banner}{RECORDS[:end]}"))


def test_nodes_that_are_cut_off_anywhere() -> None:
    whole = parse_nodes(NODES)
    assert (whole.nodes, whole.cpus, whole.gpus) == (1, 64, 4)
    for end in range(len(NODES) + 1):
        found = parse_nodes(NODES[:end])
        assert (found.cpus, found.gpus) <= (128, 4)


PARSERS: list[Callable[[str], object]] = [
    parse_queue,
    parse_accounting,
    parse_records,
    parse_nodes,
    sbatch_message,
    classify_refusal,
]
# letters of what the parsers look for, and any others
NOISE = st.text(st.sampled_from("|0123456789 RUNNINGCOMPLETED\n/job.shv1>:()*,-") | st.characters(), max_size=120)


@given(NOISE, st.sampled_from([QUEUE, ACCOUNTING, RECORDS, NODES]), st.integers(0, 400), NOISE)
@effort(150)
def test_noise_breaks_no_parser_and_makes_no_pod(before: str, text: str, end: int, after: str) -> None:
    noisy = before + text[:end] + after
    for parse in PARSERS:
        parse(noisy)
    assert {job.pod for job in parse_queue(noisy)} <= {"ns-1", "ns-2", "ns-3", "ns-5"}
    record: Record
    for record in parse_records(noisy):
        assert record.exit_code < 1000


@given(st.text(max_size=30))
@effort(100)
def test_an_unknown_word_is_no_end(word: str) -> None:
    state = JobState.parse(word)
    assert state is JobState.UNKNOWN or word.split(maxsplit=1)[0].rstrip("+") == state.value


@given(NOISE)
@effort(100)
def test_an_answer_is_its_marked_lines_and_nothing_else(noise: str) -> None:
    unmarked = noise.replace(">", " ")
    answer = Reply.parse("queue", f">root /r\n{unmarked}\n>queue 0 1795478290\n")
    assert answer.require("queue") == "0 1795478290"
    assert answer.messages.strip("\n") == unmarked.strip("\n")
