"""What Slurm prints -> values, by tables of literal output; an unknown word is never an end."""

import shlex
from dataclasses import replace

import pytest

from remote_slurm.domain.job_usage import JobUsage, Source
from remote_slurm.domain.slurm.fields import duration
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.slurm.pending_reasons import pending_sentence
from remote_slurm.domain.slurm.refusals import Refusal, classify_refusal
from remote_slurm.domain.slurm.sacct import accounting_commands, parse_accounting
from remote_slurm.domain.slurm.sbatch_messages import sbatch_message, shortened
from remote_slurm.domain.slurm.sinfo import Capacity, nodes_command, parse_nodes
from remote_slurm.domain.slurm.squeue import active_command, parse_jobs, pod_of_script, queue_command

ROOT = "/home/hpcuser/.interlink/jobs"
POD = "default-6b1c2a0e-53f4-4f5c-9d52-0b8c8f2a7d10"

# --- states -----------------------------------------------------------------------------------------------------------

PHASES = {
    JobPhase.WAITING: "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD SPECIAL_EXIT POWER_UP_NODE",
    JobPhase.RUNNING: "RUNNING COMPLETING EXPEDITING RESIZING SIGNALING STAGE_OUT STOPPED SUSPENDED UPDATE_DB",
    JobPhase.ENDED: "COMPLETED BOOT_FAIL CANCELLED DEADLINE FAILED LAUNCH_FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED "
    "RECONFIG_FAIL TIMEOUT",
    JobPhase.UNKNOWN: "REVOKED UNKNOWN",
}


@pytest.mark.parametrize(("phase", "words"), PHASES.items())
def test_every_state_by_name(phase: JobPhase, words: str) -> None:
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

101|RUNNING|None|1795478290|n1|1795470000|main|N/A|{ROOT}/{POD}/job.sh
102|PENDING|Resources|1795480000|n/a|1795470000|main|N/A|{ROOT}/team-a-1/job.sh
103|PENDING|Priority|N/A|n/a|1795470000|main|N/A|{ROOT}/team-a-2/job.sh
104|COMPLETED|None|1795470000|n1|1795470000|main|1795470900|{ROOT}/team-a-3/job.sh
105|RUNNING|None|1795478290|n1|1795470000|main|N/A|/home/hpcuser/simulation.sh
106|RUNNING|None|1795478290|n1|1795470000|main|N/A|/home/hpcuser/.interlink/jobs-of-another/team-a-4/job.sh
107|RUNNING|None|1795478290|n1|1795470000|main|N/A|{ROOT}/team-a-5/other.sh
108|RUNNING|None|1795478290|n1|1795470000|main|N/A|{ROOT}/deep/team-a-6/job.sh
109|RUNNING|None|1795478290|n1|1795470000|main|N/A|(null)
110|LEARNED_NEXT_YEAR|None|N/A|n1|1795470000|main|N/A|{ROOT}/team-a-7/job.sh
111|RUNNING|None
112_5|RUNNING|None|N/A|n1|1795470000|main|N/A|{ROOT}/.remote-slurm/arrays/3f-0/job.sh
112_[0,2-4,8-12:2%3]|PENDING|BeginTime,None|N/A|n/a|1795470000|main|N/A|{ROOT}/.remote-slurm/arrays/3f-0/job.sh
115_[0-9]|PENDING|None|N/A|n/a|1795470000|main|N/A|{ROOT}/.remote-slurm/arrays/3f-0/other.sh
116_[0,6,15,18,21,24,27,36,39,42,|PENDING|None|N/A|n/a|1795470000|main|N/A|{ROOT}/.remote-slurm/arrays/3f-0/job.sh
x|RUNNING|None|N/A|n1|1795470000|main|N/A|{ROOT}/team-a-9/job.sh
114|PENDING|launch failed requeued held|1795480000|n/a|1795470000|main|N/A|{ROOT}/team-a-11/job.sh
113|PENDING|ReqNodeNotAvail, UnavailableNodes:n[1-2]|2026-11-24T00:00:00|n/a|1795470000|main|N/A|{ROOT}/team-a-10/job.sh
squeue: warning: something that the site's plugin says
"""


def pod_of_task(array: str, task: int) -> str:
    return f"{array}.{task}"


def parse_queue(text: str, root: str) -> list[Job]:
    return [job for line in text.split("\n") for job in parse_jobs(line, (root,), pod_of_task) if job.pod]


def test_the_queue_shows_our_jobs_and_only_ours() -> None:
    assert parse_queue(QUEUE_OUTPUT, ROOT) == [
        Job("101", JobState.RUNNING, "None", POD, 1795478290, node="n1", submitted=1795470000, partition="main"),
        Job("102", JobState.PENDING, "Resources", "team-a-1", 1795480000, submitted=1795470000, partition="main"),
        Job("103", JobState.PENDING, "Priority", "team-a-2", submitted=1795470000, partition="main"),
        Job(
            "104",
            JobState.COMPLETED,
            "None",
            "team-a-3",
            1795470000,
            node="n1",
            submitted=1795470000,
            partition="main",
            end=1795470900,
        ),
        Job("110", JobState.UNKNOWN, "None", "team-a-7", node="n1", submitted=1795470000, partition="main"),
        Job("112_5", JobState.RUNNING, "None", "3f-0.5", node="n1", submitted=1795470000, partition="main"),
        *(
            Job(
                f"112_{task}",
                JobState.PENDING,
                "BeginTime,None",
                f"3f-0.{task}",
                submitted=1795470000,
                partition="main",
            )
            for task in (0, 2, 3, 4, 8, 10, 12)
        ),
        Job(
            "114", JobState.PENDING, "launch failed requeued held", "team-a-11", submitted=1795470000, partition="main"
        ),
        Job(
            "113",
            JobState.PENDING,
            "ReqNodeNotAvail, UnavailableNodes:n[1-2]",
            "team-a-10",
            submitted=1795470000,
            partition="main",
        ),
    ]


@pytest.mark.parametrize("root", ["/a|b", "/a|RUNNING|b", "/with blank", "/it's", "/100%", "/ünï", "/"])
def test_a_path_may_hold_anything(root: str) -> None:
    line = f"7|RUNNING|None|N/A|n1|1795470000|main|N/A|{root.rstrip('/')}/ns-1/job.sh"
    assert parse_queue(line, root.rstrip("/")) == [
        Job("7", JobState.RUNNING, "None", "ns-1", node="n1", submitted=1795470000, partition="main")
    ]


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
    assert pod_of_script(path, (ROOT,)) == pod


def test_the_command_asks_for_what_the_parser_reads() -> None:
    words = shlex.split(queue_command("/opt/slurm bin/squeue"))
    assert words[:4] == ["/opt/slurm bin/squeue", "--me", "--noheader", "--states=all"]
    assert words[4] == "--format=%i|%T|%r|%S|%B|%V|%P|%e|%o"
    assert shlex.split(active_command("squeue")) == ["squeue", "--me", "--noheader", "--format=%i|%T|%V|%o"]


# --- sacct ------------------------------------------------------------------------------------------------------------


def test_the_accounting() -> None:
    line = f"sbatch --parsable --output={ROOT}/ns-1/job-%j.out {ROOT}/ns-1/job.sh"
    times = "1795470060|1795470160|main|cn[001-003,7]-ib,x|billing=4,cpu=4,gres/gpu:a100=2,mem=7.50G,node=1"
    text = f"""\
Last login: today
101|COMPLETED|0:0|1795470000|{times}|{line}
102|CANCELLED by 1000|0:15|1795470000|None|1795470000|main,long|None assigned||sbatch x
103|OUT_OF_MEMORY|0:125|1795470000||||||
103.batch|OUT_OF_MEMORY|0:125|1795470000||||||
104+0|RUNNING|0:0|1795470000||||||
105|RUNNING
106
107|LEARNED_NEXT_YEAR||Unknown||||||
108|FAILED|7:0|1795470001||||||/data/ns-1
109|FAILED|1:0|1795470002||||||{line}|at=/tmp/a;over;|it's | mine
110|FAILED|1:0|1795470003||||||sbatch /tmp/copy|at=/tmp/a;over;|it's | mine
"""
    at = {"submitted": 1795470000, "usage": JobUsage()}
    times = {"start": 1795470060, "end": 1795470160, "partition": "main", "node": "cn001-ib"}
    reserved = JobUsage(cpus=4, gpus=2, memory_limit=15 << 29)
    comment = "at=/tmp/a;over;|it's | mine"
    failed = Job("109", JobState.FAILED, comment=comment, exit_code=1, usage=JobUsage())
    assert parse_accounting(text) == [
        Job("107", JobState.UNKNOWN, usage=JobUsage()),
        Job("101", JobState.COMPLETED, exit_code=0, origin=line, **times, **at | {"usage": reserved}),
        Job("102", JobState.CANCELLED, origin="sbatch x", end=1795470000, partition="main,long", **at),
        Job("103", JobState.OUT_OF_MEMORY, **at),
        Job("108", JobState.FAILED, exit_code=7, submitted=1795470001, origin="/data/ns-1", usage=JobUsage()),
        replace(failed, submitted=1795470002, origin=line),
        replace(failed, id="110", submitted=1795470003, origin="sbatch /tmp/copy"),
    ]


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n1", "n1"),
        ("cn[001-003,7]", "cn001"),
        ("rack[1-2]-cn[08-09].x,gpu1", "rack1-cn08.x"),
        ("gpu1,cn[1-3]", "gpu1"),
        ("None assigned", ""),
        ("(null)", ""),
        ("cn[1-3", ""),
        ("", ""),
    ],
)
def test_the_node_of_a_job_in_the_accounting_is_that_of_its_batch_script(nodes: str, first: str) -> None:
    (job,) = parse_accounting(JOB_ROW.format(1795470000, ROOT).replace("|n1|", f"|{nodes}|"))
    assert job.node == first


def test_the_accounting_of_an_array() -> None:
    """As sacct prints it for the id of the array: of tasks that never started there is one row (24.11, 22.05)."""
    line = f"sbatch --parsable --array=0-4 {ROOT}/.remote-slurm/arrays/3f-0/job.sh"
    text = f"""\
7_[1-2,4%2]|CANCELLED by 20001|0:0|1795470000|||main|||{line}
7_0|FAILED|3:0|1795470000|1795470060|1795470160|main|n1|cpu=1|{line}
7_3|COMPLETED|0:0|1795470000|1795470060|1795470160|main|n1|cpu=1|{line}
"""
    steps = "7_0|1795470000|00:02|\n7_0.batch|1795470000|00:02|mem=3M\n7_3|1795470000|00:04|\n"
    jobs = {job.id: job for job in parse_accounting(text, steps)}
    states = {job_id: job.state.value for job_id, job in jobs.items()}
    assert states == dict.fromkeys(("7_1", "7_2", "7_4"), "CANCELLED") | {"7_0": "FAILED", "7_3": "COMPLETED"}
    assert (jobs["7_0"].exit_code, jobs["7_0"].origin) == (3, line)
    usages = [jobs[each].usage for each in ("7_0", "7_3")]
    assert [(usage.cpu_seconds, usage.memory_peak) for usage in usages if usage] == [(2, 3 << 20), (4, None)]


def test_tasks_are_asked_for_by_their_array() -> None:
    """sacct prints nothing for the id of a task that has not started."""
    assert "--jobs=7,12" in accounting_commands("sacct", ["7_0", "12", "7_3"]).jobs


JOB_ROW = "101|COMPLETED|0:0|{}|1795470060|1795470160|main|n1|cpu=4,mem=4000M|sbatch {}/ns-1/job.sh"


def test_the_accounting_has_what_a_job_and_its_steps_have_used() -> None:
    jobs = "\n".join(JOB_ROW.format(submitted, ROOT) for submitted in (1795470000, 1795470500))
    steps = """\
101|1795470000|01:03.250|
101.batch|1795470000|00:03.250|cpu=00:00:03,energy=0,mem=3M,pages=0,vmem=9M
101.extern|1795470000|00:00:00|
101.0|1795470000|01:00.000|cpu=00:01:00,mem=1.50G
101|1795470500|1-00:00:00|
101.batch|1795470500|1-00:00:00|cpu=1-00:00:00
102|1795470000|00:09|
101.batch|1795470000|x|mem=much
"""
    first, second = parse_accounting(jobs, steps)
    reserved = {"wall_seconds": 100, "cpus": 4, "memory_limit": 4000 << 20}
    assert first.usage == JobUsage(Source.SACCT, 63.25, memory_peak=3 << 29, **reserved)
    assert second.usage == JobUsage(Source.SACCT, 86400.0, **reserved)


def test_an_accounting_without_measurements_has_only_what_was_reserved() -> None:
    steps = "101|1795470000|00:00:00|\n101.batch|1795470000|00:00:00|\n"
    (job,) = parse_accounting(JOB_ROW.format(1795470000, ROOT), steps)
    assert job.usage == JobUsage(wall_seconds=100, cpus=4, memory_limit=4000 << 20)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0:09", 9),
        ("1:02:03", 3723),
        ("2-00:00:01", 172801),
        ("100:00:00", 360000),
        ("03:04.999", 184),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("N/A", None),
        ("", None),
        ("1-03", None),
    ],
)
def test_a_duration_of_slurm(text: str, number: int | None) -> None:
    assert duration(text) == number


def test_a_job_has_waited_and_run_only_as_far_as_slurm_shows_times() -> None:
    times = {"submitted": 100, "start": 160, "end": 400}
    ended, running, waiting = (
        Job("7", state, **times) for state in (JobState.TIMEOUT, JobState.RUNNING, JobState.PENDING)
    )
    assert [(job.waited, job.ran) for job in (ended, running, waiting)] == [(60, 240), (60, None), (None, None)]
    assert (Job("7", JobState.TIMEOUT).waited, Job("7", JobState.TIMEOUT).ran) == (None, None)


def test_many_jobs_are_one_question_and_one_for_their_steps() -> None:
    options = ["sacct", "--noheader", "--parsable2", "--duplicates", "--federation", "--jobs=1,2,3"]
    jobs = [*options, "--allocations"]
    fields = "JobID,State,ExitCode,Submit,Start,End,Partition,NodeList,AllocTRES"
    asked = accounting_commands("sacct", ["1", "2", "3"])
    assert shlex.split(asked.jobs) == [*jobs, f"--format={fields},SubmitLine"]
    assert shlex.split(asked.jobs_without_line) == [*jobs, f"--format={fields},WorkDir"]
    assert shlex.split(asked.steps) == [*options, "--format=JobID,Submit,TotalCPU,TRESUsageInTot"]
    asked = accounting_commands("sacct", ["1"], comments=True)
    for command, origin in ((asked.jobs, "SubmitLine"), (asked.jobs_without_line, "WorkDir")):
        assert shlex.split(command)[-1] == f"--format={fields},{origin},Comment"


@pytest.mark.parametrize(
    ("origin", "submitted", "known", "is_ours"),
    [
        ("sbatch --parsable --output=/r/ns-1/job-%j.out /r/ns-1/job.sh", 99, None, True),
        ("sbatch --account=x --output=/r/ns-1/job-%j.out /tmp/copy", 99, None, True),
        ("/r/ns-1", 99, None, True),
        ("sbatch -p long simulation.sh", 100, 100.4, True),
        ("sbatch -p long simulation.sh", 130, 100.0, False),
        ("/home/u", 130, 100.0, False),
        ("", 130, 100.0, True),
        ("", 1000, 100.0, False),
        ("", 130, None, False),
        ("", None, 100.0, False),
    ],
)
def test_a_job_with_the_right_id_may_be_another_one(
    origin: str, submitted: int | None, known: float | None, *, is_ours: bool
) -> None:
    job = Job("7", JobState.COMPLETED, submitted=submitted, origin=origin)
    assert job.may_be_of("ns-1", known) is is_ours


# --- sbatch -----------------------------------------------------------------------------------------------------------

POLICY = (
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
)

NO_PARTITION = "Batch job submission failed: Invalid partition name specified"
SAYINGS = [
    ("Batch job submission failed: Invalid partition name specified", Refusal.FOR_GOOD),
    ("invalid partition specified: nosuch", Refusal.FOR_GOOD),
    # a pod may name anything as its partition
    (f"invalid partition specified: Socket timed out\nsbatch: error: {NO_PARTITION}", Refusal.FOR_GOOD),
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
    ("Batch job submission failed: Rate limit exceeded, please retry momentarily", Refusal.FOR_NOW),
    ("Batch job submission failed: Rate limit exceeded, please retry later", Refusal.FOR_NOW),  # a hard drop
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
    ("Batch job submission failed: Required partition not available (inactive or drain)", Refusal.FOR_NOW),
    ("Batch job submission failed: Requested partition configuration not available now", Refusal.FOR_NOW),
    ("Batch job submission failed: Required node not available (down, drained or reserved)", Refusal.FOR_NOW),
    ("Batch job submission failed: Requested reservation not usable now", Refusal.FOR_NOW),
    ("Batch job submission failed: Licenses not available", Refusal.FOR_NOW),
    ("Batch job submission failed: I/O error writing script/environment to file", Refusal.FOR_NOW),
    ("Batch job submission failed: No space left on device", Refusal.FOR_NOW),
    ("Batch job submission failed: Requested operation is presently disabled", Refusal.FOR_NOW),
    ("Batch job submission failed: Invalid user id", Refusal.FOR_NOW),
    ("Batch job submission failed: Unable to connect to database", Refusal.FOR_NOW),
    ("Batch job submission failed: Incompatible versions of client and server code", Refusal.FOR_NOW),
    ("fatal: Unable to process configuration file", Refusal.NOT_SENT),
    ("Batch job submission failed: Requested reservation is invalid", Refusal.FOR_GOOD),
    ("You must name a project\nsbatch: error: Batch job submission failed: Unspecified error", Refusal.FOR_GOOD),
    ("Batch job submission failed: Words that Slurm has learned since", Refusal.UNKNOWN),
    (
        "Batch job submission failed: Invalid time-min specification (exceeds job's time or other limits)",
        Refusal.FOR_GOOD,
    ),
    ("Batch job submission failed: Invalid preferred feature specification", Refusal.FOR_GOOD),
    # a job_submit.lua returns ESLURM_MISSING_TIME_LIMIT
    ("Batch job submission failed: Time limit specification required, but not provided", Refusal.FOR_GOOD),
    ("Batch job submission failed: Duplicate generic resource (gres) specification", Refusal.FOR_GOOD),
    (
        "Batch job submission failed: Invalid GRES specification (with and without type identification)",
        Refusal.FOR_GOOD,
    ),
    (
        "Batch job submission failed: Requested GRES option unsupported by configured SelectType plugin",
        Refusal.FOR_GOOD,
    ),
    ("Batch job submission failed: RestrictedCoresPerGPU: Not enough unique cores per GPU", Refusal.FOR_GOOD),
    ("Batch job submission failed: Invalid extra constraints specification", Refusal.FOR_GOOD),
    ("Batch job submission failed: Task distribution specification invalid", Refusal.FOR_GOOD),
    ("Batch job submission failed: Requested operation not supported on this system", Refusal.FOR_GOOD),
    ("Batch job submission failed: Requested nodes not in this partition", Refusal.FOR_GOOD),
    (
        "Batch job submission failed: Job --batch option is invalid or not a subset of --constraint",
        Refusal.FOR_GOOD,
    ),
    (
        (
            "Batch job submission failed: "
            "Multiple partition job request not supported when a partition is set in the association"
        ),
        Refusal.FOR_GOOD,
    ),
    ("Batch job submission failed: Invalid cluster feature specification", Refusal.FOR_GOOD),
    ("Batch job submission failed: No eligible clusters for federated job", Refusal.FOR_NOW),  # some may be down
    (
        "Batch job submission failed: Current SwitchType does not permit arbitrary task distribution",
        Refusal.FOR_GOOD,
    ),
    ("Batch job submission failed: Licenses currently unavailable", Refusal.FOR_NOW),
    ("Batch job submission failed: Job can not start due to maintenance reservation.", Refusal.FOR_NOW),
    ("Batch job submission failed: Unable to create job record, try again", Refusal.FOR_NOW),
    ("Batch job submission failed: Requested account has breached requested QOS usage threshold", Refusal.FOR_NOW),
    # a cli_filter.lua, before slurmctld is asked: dask/dask-jobqueue#632
    (
        (
            "lua: Requesting memory by node is not supported. Use --mem-per-cpu.\n"
            "sbatch: error: cli_filter plugin terminated with error"
        ),
        Refusal.FOR_GOOD,
    ),
    # of 26.05
    ("Batch job submission failed: MaxJobCount limit reached", Refusal.FOR_NOW),
    ("Batch job submission failed: Lua function execution failed due to runtime error", Refusal.FOR_NOW),
    ("Batch job submission failed: Lua script loading failed due to invalid syntax", Refusal.FOR_NOW),
    ("Batch job submission failed: No suitable topology unit found", Refusal.FOR_GOOD),
    ("Batch job submission failed: Connection timed out establishing", Refusal.UNKNOWN),
    ("Batch job submission failed: Unknown error 2147", Refusal.UNKNOWN),
    ("Slurm temporarily unable to accept job\nSocket timed out on send/recv operation", Refusal.UNKNOWN),
]


@pytest.mark.parametrize(("saying", "refusal"), SAYINGS)
def test_slurms_sayings(saying: str, refusal: Refusal) -> None:
    assert classify_refusal(sbatch_message(f"sbatch: error: {saying}")) is refusal
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
    assert sbatch_message(stderr) == words


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


def test_a_job_that_names_no_node_is_not_said_to_ask_for_one() -> None:
    """Slurm gives this reason, too, if all nodes of the partition are drained, down or reserved."""
    job = Job("7", JobState.PENDING, "ReqNodeNotAvail, May be reserved for other job")
    assert pending_sentence(job) == f"{job.reason}: nodes that it needs are down, drained or reserved"
