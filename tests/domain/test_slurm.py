"""What Slurm prints -> values, by tables of literal output; an unknown word is never an end."""

import shlex

import pytest

from remote_slurm.domain.slurm import (
    Capacity,
    Job,
    JobState,
    Phase,
    Refusal,
    accounting_command,
    active_command,
    classify_refusal,
    nodes_command,
    parse_accounting,
    parse_nodes,
    parse_queue,
    pod_of_script,
    queue_command,
    shortened,
    slurm_words,
)

ROOT = "/home/hpcuser/.interlink/jobs"
POD = "default-6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10"

# --- states -----------------------------------------------------------------------------------------------------------

PHASES = {
    Phase.WAITING: "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT POWER_UP_NODE",
    Phase.RUNNING: "RUNNING COMPLETING EXPEDITING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED UPDATE_DB",
    Phase.ENDED: "COMPLETED BOOT_FAIL CANCELLED DEADLINE FAILED LAUNCH_FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED "
    "RECONFIG_FAIL REVOKED TIMEOUT",
    Phase.UNKNOWN: "UNKNOWN",
}


@pytest.mark.parametrize(("phase", "words"), PHASES.items())
def test_every_state_by_name(phase: Phase, words: str) -> None:
    assert {state.value for state in JobState if state.phase is phase} == set(words.split())
    for word in words.split():
        assert JobState.parse(word).phase is phase


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("CANCELLED by 1000", JobState.CANCELLED),
        ("CANCELLED+", JobState.CANCELLED),
        (" RUNNING ", JobState.RUNNING),
        ("RUNNING\r", JobState.RUNNING),
        ("", JobState.UNKNOWN),
        ("   ", JobState.UNKNOWN),
        ("running", JobState.UNKNOWN),
        ("OUT_OF_ME+", JobState.UNKNOWN),
        ("FAILED_NEXT_YEAR", JobState.UNKNOWN),
        ("NOT_FAILED", JobState.UNKNOWN),
        ("CONFIGURING", JobState.CONFIGURING),
        ("TIMEOUT,REQUEUED", JobState.UNKNOWN),
    ],
)
def test_states_are_matched_exactly(text: str, state: JobState) -> None:
    assert JobState.parse(text) is state


# --- squeue -----------------------------------------------------------------------------------------------------------

QUEUE_OUTPUT = f"""\
*** Welcome to the cluster! ***
  Maintenance: Monday | 8 to 12 | all partitions | no jobs | sorry

101|RUNNING|None|1795478290|n1|{ROOT}/{POD}/job.sh
102|PENDING|Resources|1795480000|n/a|{ROOT}/team-a-1/job.sh
103|PENDING|Priority|N/A|n/a|{ROOT}/team-a-2/job.sh
104|COMPLETED|None|1795470000|n1|{ROOT}/team-a-3/job.sh
105|RUNNING|None|1795478290|n1|/home/hpcuser/simulation.sh
106|RUNNING|None|1795478290|n1|/home/hpcuser/.interlink/jobs-of-another/team-a-4/job.sh
107|RUNNING|None|1795478290|n1|{ROOT}/team-a-5/other.sh
108|RUNNING|None|1795478290|n1|{ROOT}/deep/team-a-6/job.sh
109|RUNNING|None|1795478290|n1|(null)
110|LEARNED_NEXT_YEAR|None|N/A|n1|{ROOT}/team-a-7/job.sh
111|RUNNING|None
112_5|RUNNING|None|N/A|n1|{ROOT}/team-a-8/job.sh
x|RUNNING|None|N/A|n1|{ROOT}/team-a-9/job.sh
113|PENDING|ReqNodeNotAvail, UnavailableNodes:n[1-2]|2026-11-24T00:00:00|n/a|{ROOT}/team-a-10/job.sh
squeue: warning: something that the site's plugin says
"""


def test_the_queue_shows_our_jobs_and_only_ours() -> None:
    assert parse_queue(QUEUE_OUTPUT, ROOT) == [
        Job("101", JobState.RUNNING, "None", POD, 1795478290, node="n1"),
        Job("102", JobState.PENDING, "Resources", "team-a-1", 1795480000),
        Job("103", JobState.PENDING, "Priority", "team-a-2"),
        Job("104", JobState.COMPLETED, "None", "team-a-3", 1795470000, node="n1"),
        Job("110", JobState.UNKNOWN, "None", "team-a-7", node="n1"),
        Job("113", JobState.PENDING, "ReqNodeNotAvail, UnavailableNodes:n[1-2]", "team-a-10"),
    ]


@pytest.mark.parametrize("root", ["/a|b", "/a|RUNNING|b", "/with blank", "/it's", "/100%", "/ünï", "/"])
def test_a_path_may_hold_anything(root: str) -> None:
    line = f"7|RUNNING|None|N/A|n1|{root.rstrip('/')}/ns-1/job.sh"
    assert parse_queue(line, root.rstrip("/")) == [Job("7", JobState.RUNNING, "None", "ns-1", node="n1")]


@pytest.mark.parametrize("text", ["", "\n\n", "slurm_load_jobs error: Unable to contact slurm controller"])
def test_no_jobs_are_no_jobs(text: str) -> None:
    assert parse_queue(text, ROOT) == []


@pytest.mark.parametrize(
    ("path", "pod"),
    [
        (f"{ROOT}/ns-1/job.sh", "ns-1"),
        (f"{ROOT}/ns-1/job.sh\r", "ns-1"),
        (f"{ROOT}/ns-1/job.sh extra arguments", ""),
        (f"{ROOT}/job.sh", ""),
        (f"{ROOT}//job.sh", ""),
        (f"{ROOT}/ns-1/jobXsh", ""),
        (f"/elsewhere{ROOT}/ns-1/job.sh", ""),
        (f"{ROOT}x/ns-1/job.sh", ""),
        ("job.sh", ""),
        ("", ""),
    ],
)
def test_only_the_whole_path_of_the_script_counts(path: str, pod: str) -> None:
    assert pod_of_script(path, ROOT) == pod


def test_the_command_asks_for_what_the_parser_reads() -> None:
    words = shlex.split(queue_command("/opt/slurm bin/squeue"))
    assert words[:4] == ["/opt/slurm bin/squeue", "--me", "--noheader", "--states=all"]
    assert words[4] == "--format=%A|%T|%r|%S|%B|%o"
    assert shlex.split(active_command("squeue")) == ["squeue", "--me", "--noheader", "--format=%A|%T|%o"]


# --- sacct ------------------------------------------------------------------------------------------------------------


def test_the_accounting() -> None:
    text = """\
Last login: today
101|COMPLETED|0:0
102|CANCELLED by 1000|0:15
103|OUT_OF_MEMORY|0:125
103.batch|OUT_OF_MEMORY|0:125
104+0|RUNNING|0:0
105|RUNNING
106
107|LEARNED_NEXT_YEAR|
108|FAILED|7:0|
109|FAILED|1:0|at=/tmp/a;over;|it's | mine
"""
    assert parse_accounting(text) == [
        Job("101", JobState.COMPLETED, exit_code=0),
        Job("102", JobState.CANCELLED),
        Job("103", JobState.OUT_OF_MEMORY),
        Job("107", JobState.UNKNOWN),
        Job("108", JobState.FAILED, exit_code=7),
        Job("109", JobState.FAILED, comment="at=/tmp/a;over;|it's | mine", exit_code=1),
    ]


def test_many_jobs_are_one_question() -> None:
    words = shlex.split(accounting_command("sacct", ["1", "2", "3"]))
    assert words == [
        "sacct", "--noheader", "--parsable2", "--allocations", "--jobs=1,2,3", "--format=JobIDRaw,State,ExitCode"
    ]  # fmt: skip
    assert (
        shlex.split(accounting_command("sacct", ["1"], comments=True))[-1] == "--format=JobIDRaw,State,ExitCode,Comment"
    )


# --- sbatch -----------------------------------------------------------------------------------------------------------

POLICY = (
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
)

SAYINGS = [
    ("Batch job submission failed: Invalid partition name specified", Refusal.FOR_GOOD),
    ("invalid partition specified: nosuch", Refusal.FOR_GOOD),
    ("Batch job submission failed: Invalid account or account/partition combination specified", Refusal.FOR_GOOD),
    ("Batch job submission failed: Requested node configuration is not available", Refusal.FOR_GOOD),
    ("Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)", Refusal.FOR_GOOD),
    ("Batch job submission failed: Invalid qos specification", Refusal.FOR_GOOD),
    ("Batch job submission failed: Invalid generic resource (gres) specification", Refusal.FOR_GOOD),
    ("Batch job submission failed: Access/permission denied", Refusal.FOR_GOOD),
    ("--mem, --mem-per-cpu, and --mem-per-gpu are mutually exclusive.", Refusal.FOR_GOOD),
    ("unrecognized option '--no-such'", Refusal.FOR_GOOD),
    (f"QOSMaxCpuPerUserLimit\nsbatch: error: {POLICY}", Refusal.FOR_GOOD),
    (f"AssocMaxWallDurationPerJobLimit\nsbatch: error: {POLICY}", Refusal.FOR_GOOD),
    (POLICY, Refusal.FOR_GOOD),
    (f"QOSMaxSubmitJobPerUserLimit\nsbatch: error: {POLICY}", Refusal.FOR_NOW),
    (f"QOSMaxSubmitJobPerAccountLimit\nsbatch: error: {POLICY}", Refusal.FOR_NOW),
    (f"QOSGrpSubmitJobsLimit\nsbatch: error: {POLICY}", Refusal.FOR_NOW),
    (f"AssocMaxSubmitJobLimit\nsbatch: error: {POLICY}", Refusal.FOR_NOW),
    (f"AssocGrpSubmitJobsLimit\nsbatch: error: {POLICY}", Refusal.FOR_NOW),
    ("Slurm temporarily unable to accept job, sleeping and retrying", Refusal.FOR_NOW),
    ("Batch job submission failed: Resource temporarily unavailable", Refusal.FOR_NOW),
    ("Batch job submission failed: Socket timed out on send/recv operation", Refusal.UNKNOWN),
    ("Batch job submission failed: Unable to contact slurm controller (connect failure)", Refusal.NOT_SENT),
    ("Munge encode failed: No such file\nBatch job submission failed: Protocol authentication error", Refusal.NOT_SENT),
    ("Batch job submission failed: Protocol authentication error", Refusal.UNKNOWN),
    ("fatal: Could not establish a configuration source", Refusal.NOT_SENT),
    ("Batch job submission failed: Slurm backup controller in standby mode", Refusal.NOT_SENT),
    ("Batch job submission failed: Zero Bytes were transmitted or received", Refusal.UNKNOWN),
    ("Batch job submission failed: Unexpected message received", Refusal.UNKNOWN),
    ("Batch job submission failed: Transport endpoint is not connected", Refusal.UNKNOWN),
    ("Batch job submission failed: Connection reset by peer", Refusal.UNKNOWN),
    ("Slurm temporarily unable to accept job\nSocket timed out on send/recv operation", Refusal.UNKNOWN),
]


@pytest.mark.parametrize(("saying", "refusal"), SAYINGS)
def test_slurms_sayings(saying: str, refusal: Refusal) -> None:
    assert classify_refusal(slurm_words(f"sbatch: error: {saying}")) is refusal
    assert classify_refusal(saying.upper()) is refusal


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("sbatch: error: Batch job submission failed: Invalid qos\n", "Batch job submission failed: Invalid qos"),
        ("sbatch: error: A\nsbatch: error: B\n", "A; B"),
        ("\nsbatch: Job 5 estimated\n\n  sbatch: error: C  \n", "Job 5 estimated; C"),
        ("", ""),
    ],
)
def test_what_sbatch_said_is_one_line(stderr: str, words: str) -> None:
    assert slurm_words(stderr) == words


def test_a_plugins_pages_are_cut_in_the_middle() -> None:
    reason = "Batch job submission failed: Unspecified error"
    cut = shortened(f"This is the site's policy. {'Read it. ' * 500}{reason}")
    assert cut.startswith("This is the site's policy. ")
    assert cut.endswith(reason)
    assert len(cut) < 1100
    assert shortened(reason) == reason


# --- sinfo ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "capacity"),
    [
        ("", Capacity()),
        ("n1|64|256000|idle|(null)", Capacity(1, 64, 256000)),
        ("n1|64|256000|idle|(null)\nn1|64|256000|idle|(null)", Capacity(1, 64, 256000)),
        ("n1|64+|256000+|mixed|gpu:4", Capacity(1, 64, 256000, 4)),
        ("n1|1|2|allocated|gpu:a100:2(S:0-1),gpu:t4:1(S:0,1),shard:8", Capacity(1, 1, 2, 3)),
        ("n1|1|2|idle~|(null)\nn2|1|2|mixed-|(null)\nn3|1|2|completing|(null)", Capacity(3, 3, 6)),
        ("n1|1|2|down*|(null)\nn2|1|2|drained|(null)\nn3|1|2|draining@|(null)\nn4|1|2|fail|(null)", Capacity()),
        ("Welcome!\n| | |\nn1|4|8|idle|gpu:1\nslurm: a|b", Capacity(1, 4, 8, 1)),
        ("n1|x|y|idle|gpu:many", Capacity(1, 0, 0)),
    ],
)
def test_the_sites_totals(text: str, capacity: Capacity) -> None:
    assert parse_nodes(text) == capacity


def test_nodes_are_asked_for_one_by_one() -> None:
    assert shlex.split(nodes_command("sinfo")) == ["sinfo", "--noheader", "--Node", "--format=%N|%c|%m|%T|%G"]
