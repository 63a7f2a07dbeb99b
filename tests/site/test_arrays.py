"""submit.sh and delete.sh with job arrays, in every shell that a site may have as /bin/sh."""

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from remote_slurm.domain.plan.file_transfer import IMAGES_FIRST
from remote_slurm.domain.plan.job_array import ArrayOptions, ArrayTask
from remote_slurm.domain.plan.payload import Payload, archive
from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.shell import quote
from remote_slurm.domain.slurm.job_ids import job_ids
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.slurm.refusals import Refusal
from remote_slurm.domain.submit_outcome import Attempted, Deleted, SbatchFailed, SubmitOutcome, Submitted
from remote_slurm.errors import SlurmFailed
from remote_slurm.site.operation import script_text
from remote_slurm.site.operations import submit
from remote_slurm.site.operations.abandon import Abandoned
from remote_slurm.site.pod_replies import PodReplies
from tests.domain.test_job_ids import LISTS, NO_LISTS
from tests.site.account import SHELLS, Account

PODS = ("ns-a", "ns-b", "ns-c")
TASK = ArrayTask(ArrayOptions("#SBATCH --no-requeue"), "a")
LIMIT = "sbatch: error: AssocMaxSubmitJobLimit"
TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"


@pytest.fixture(params=SHELLS, ids=" ".join)
def account(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    return Account(tmp_path, request.param)


def packed(pod: str, script: str = "", **files: bytes) -> Payload:
    own = [File("job.sh", f"#!/bin/bash -p\n{script}\n".encode(), 0o700)]
    whole = archive(pod, [*own, *(File(name, text, 0o600) for name, text in files.items())])
    return Payload(pod, whole, task=TASK, pulls=IMAGES_FIRST in files)


def submitted(account: Account, *pods: str, **given: Payload) -> dict[str, SubmitOutcome | Exception]:
    """The outcomes of pods that one script submits."""
    payloads = {pod: given.get(pod.replace("-", "_"), packed(pod)) for pod in pods}
    operation = submit.operation(account.config, payloads, most_tasks=250)
    values = {"root": account.root_setting, "sidecar": "s", "epoch": ""}
    result = account.run(operation.script(values), operation.payload)
    replies: PodReplies[SubmitOutcome] = PodReplies(submit.outcome)
    return dict(replies.feed(result.output))


def arguments(account: Account, job: str) -> list[str]:
    return (account.slurm / "jobs" / job / "arguments").read_text().splitlines()


def arrays(account: Account) -> list[Path]:
    return sorted((account.root / ".remote-slurm/arrays").glob("*"))


def test_like_pods_are_one_array(account: Account) -> None:
    other = packed("ns-x")
    outcomes = submitted(account, *PODS, "ns-x", ns_x=Payload("ns-x", other.archive))
    assert outcomes == {"ns-x": Submitted("102")} | {pod: Submitted(f"101_{number}") for number, pod in enumerate(PODS)}
    assert account.calls("sbatch") == ["sbatch"] * 2
    (array,) = arrays(account)
    assert arguments(account, "101_0") == [
        "--parsable",
        "--array=0,1,2",
        f"--output={array}/%a.out",
        f"--chdir={array}",
        f"{array}/job.sh",
    ]
    assert [(account.root / pod / "job.id").read_text() for pod in PODS] == ["101_0\n", "101_1\n", "101_2\n"]
    assert submitted(account, *PODS) == {pod: outcomes[pod] for pod in PODS}
    assert len(account.calls("sbatch")) == 2


def test_each_task_runs_its_pod(account: Account) -> None:
    scripts = {pod.replace("-", "_"): packed(pod, 'echo "$PWD"; echo $SLURM_ARRAY_TASK_ID >ran') for pod in PODS}
    submitted(account, *PODS, **scripts)
    account.run_jobs()
    for number, pod in enumerate(PODS):
        assert (account.root / pod / "ran").read_text() == f"{number}\n"
        assert (account.root / pod / f"job-101_{number}.out").exists()
    assert {path.name for path in arrays(account)[0].iterdir()} == {"job.sh", "call", "fence"}


def test_one_pod_is_no_array(account: Account) -> None:
    assert submitted(account, "ns-a") == {"ns-a": Submitted("101")}
    assert not arrays(account)


def test_members_that_are_known_or_deleted_are_no_tasks(account: Account) -> None:
    submitted(account, "ns-a")
    (account.claims / "ns-b.deleted").touch()
    assert submitted(account, *PODS, "ns-d") == {
        "ns-a": Submitted("101"),
        "ns-b": Deleted(),
        "ns-c": Submitted("102_0"),
        "ns-d": Submitted("102_1"),
    }
    (account.claims / "ns-e.attempt").touch()
    assert submitted(account, "ns-e", "ns-f") == {"ns-e": Attempted(), "ns-f": Submitted("103")}


def deletes(account: Account, *pods: str) -> bytes:
    """A pull.sh that deletes these pods, right before the attempts."""
    stones = " ".join(f"{account.claims}/{pod}.deleted" for pod in pods)
    return f"touch {stones}; echo ready\n".encode()


@pytest.mark.parametrize(("gone", "jobs"), [(("ns-b",), ["101_0", "101_2"]), (("ns-a", "ns-b"), ["101"]), (PODS, [])])
def test_a_member_that_is_deleted_right_before_the_attempt_is_no_task(
    account: Account, gone: tuple[str, ...], jobs: list[str]
) -> None:
    files: dict[str, Any] = {"images.first": b"", "pull.sh": deletes(account, *gone)}
    outcomes = submitted(account, *PODS, ns_c=packed("ns-c", **files))
    assert [pod for pod in PODS if outcomes[pod] == Deleted()] == list(gone)
    assert account.jobs() == jobs
    assert len(arrays(account)) == (len(jobs) > 1)
    assert {path.name for path in account.root.iterdir()} == {".remote-slurm", *PODS} - set(gone)


def test_a_member_that_is_deleted_while_sbatch_runs_is_cancelled(account: Account) -> None:
    account.command("sbatch", f"touch {account.claims}/ns-b.deleted {account.claims}/ns-c.deleted; echo 300")
    assert submitted(account, *PODS)["ns-a"] == Submitted("300_0")
    assert account.calls("scancel") == ["scancel 300_1 300_2"]


def test_a_refused_array_is_reported_for_each_pod(account: Account) -> None:
    account.refuse(LIMIT)
    refused = SbatchFailed(Refusal.FOR_NOW, "AssocMaxSubmitJobLimit", 3)
    assert submitted(account, *PODS) == dict.fromkeys(PODS, refused)
    assert submitted(account, *PODS) == dict.fromkeys(PODS, refused)
    assert account.calls("sbatch") == ["sbatch"]
    account.ask("withdraw", kept=" ".join(PODS), dropped="")
    (account.slurm / "sbatch.refuses").unlink()
    assert submitted(account, *PODS) == {pod: Submitted(f"101_{number}") for number, pod in enumerate(PODS)}


def test_an_unknown_outcome_is_one_of_all_members(account: Account) -> None:
    account.tell("sbatch.dies")
    outcomes = submitted(account, *PODS)
    assert {type(outcome) for outcome in outcomes.values()} == {Attempted}
    (account.slurm / "sbatch.dies").unlink()
    account.tell("sbatch.lies", TIMED_OUT)
    assert {type(outcome) for outcome in submitted(account, *PODS).values()} == {Attempted}
    assert account.jobs() == ["101_0", "101_1", "101_2"]


def test_the_attempt_of_a_task_is_of_unknown_outcome_to_version_0_2_0(account: Account) -> None:
    """It reads any attempt that is not empty as a failure, and the lines behind the first one as messages of sbatch."""
    submitted(account, *PODS)
    for number, pod in enumerate(PODS):
        first, *messages = (account.claims / f"{pod}.attempt").read_text().splitlines()
        assert first == f"array {arrays(account)[0].name} {number}"
        assert SbatchFailed.from_stderr("\n".join(messages)).refusal is Refusal.UNKNOWN


# --- the call of sbatch ---


def interrupted(account: Account, before: str) -> Path:
    """The folder of an array whose script was killed right before that command."""
    path = account.bin / before.split(maxsplit=1)[0]
    kept = path.read_bytes() if path.exists() else b""
    account.command(
        path.name, f'case "${{0##*/}} $*" in "{before}"*) kill -KILL $PPID; exit ;; esac; exec /bin/{path.name} "$@"'
    )
    with suppress(AssertionError, IndexError):
        submitted(account, *PODS)
    path.write_bytes(kept) if kept else path.unlink()
    (array,) = arrays(account)
    return array


def test_a_call_that_never_happened_is_taken_up_again_as_one_array(account: Account) -> None:
    array = interrupted(account, "ln -s sbatch")
    assert set(submitted(account, *PODS).values()) == {Attempted()}
    assert (array / "call").readlink() == Path("void")
    assert submitted(account, *PODS) == {pod: Submitted(f"101_{number}") for number, pod in enumerate(PODS)}
    assert submitted(account, *PODS) == {pod: Submitted(f"101_{number}") for number, pod in enumerate(PODS)}
    assert account.calls("sbatch") == ["sbatch"]


def test_a_script_whose_call_was_taken_away_calls_no_sbatch(account: Account) -> None:
    account.command("ln", 'case "$*" in "-s sbatch "*) /bin/ln -s void "$3" ;; esac; exec /bin/ln "$@"')
    assert set(submitted(account, *PODS).values()) == {Attempted()}
    assert account.calls("sbatch") == []
    (account.bin / "ln").unlink()
    assert submitted(account, *PODS)["ns-c"] == Submitted("101_2")


async def test_an_array_that_slurm_never_shows_is_given_up_for_all_its_pods(account: Account) -> None:
    array = interrupted(account, "sbatch")
    assert set(submitted(account, *PODS).values()) == {Attempted()}
    assert await account.site.abandon("ns-a") == Abandoned(may_submit_again=True)
    assert await account.site.abandon("ns-b") == Abandoned(may_submit_again=True)
    assert submitted(account, *PODS) == {pod: Submitted(f"101_{number}") for number, pod in enumerate(PODS)}
    assert account.calls("squeue") == ["squeue"]
    # an sbatch that was under way has read the script
    account.job("300_0", "PENDING", array / "given-up.sh")
    (account.slurm / "jobs/300_0/folder").write_text(str(array))
    account.run_jobs()
    assert "was given up" in (account.slurm / "jobs/300_0/output").read_text()
    assert (account.claims / "ns-a.job").exists() is False  # these stand-ins of job.sh take no fence
    assert not list(account.root.glob("*/job-300_*"))


async def test_an_array_that_slurm_shows_is_found_for_all_its_pods(account: Account) -> None:
    account.tell("sbatch.dies")
    submitted(account, *PODS)
    assert await account.site.abandon("ns-b") == Abandoned("101_1")
    calls = len(account.calls("squeue"))
    assert submitted(account, *PODS) == {pod: Submitted(f"101_{number}") for number, pod in enumerate(PODS)}
    assert {job.pod for job in (await account.site.queue()).jobs} == set(PODS)
    assert len(account.calls("squeue")) == calls + 1


async def test_an_array_that_only_sacct_shows_is_found(account: Account) -> None:
    array = interrupted(account, "sbatch")
    account.tell("sacct.says", f"99|sbatch other.sh\n300_[0-2]|sbatch --array=0,1,2 {array}/job.sh\n")
    assert await account.site.abandon("ns-b") == Abandoned("300_1")


async def test_without_squeue_an_array_is_not_given_up(account: Account) -> None:
    interrupted(account, "sbatch")
    account.tell("squeue.fails", "slurm_load_jobs error: Unable to contact slurm controller")
    with pytest.raises(SlurmFailed):
        await account.site.abandon("ns-a")
    assert set(submitted(account, *PODS).values()) == {Attempted()}


async def test_the_first_task_that_starts_decides_the_call_of_its_array(account: Account) -> None:
    account.tell("sbatch.dies")
    submitted(account, *PODS)
    account.tell("jobs/101_0/state", "HELD")
    account.tell("jobs/101_2/state", "HELD")
    account.run_jobs()
    assert submitted(account, *PODS)["ns-c"] == Submitted("101_2")


def test_where_the_array_cannot_be_written_each_pod_is_a_job(account: Account) -> None:
    account.ask("recover", sidecar="s", owns="")
    (account.root / ".remote-slurm/arrays").write_text("no folder")
    assert set(submitted(account, *PODS).values()) == {Submitted("101"), Submitted("102"), Submitted("103")}


async def test_two_scripts_at_once_make_each_pod_one_job(account: Account) -> None:
    account.tell("sbatch.slow", "0.3")
    both = await asyncio.gather(*(asyncio.to_thread(submitted, account, *PODS) for _ in range(2)))
    assert both[0] == both[1]
    assert len(account.jobs()) == len(
        {outcome.job_id for outcome in both[0].values() if isinstance(outcome, Submitted)}
    )


@pytest.mark.parametrize("says", ["101;cluster", "a warning\n101", "Submitted batch job 101", "42\n101"])
def test_the_id_of_an_array_is_found_among_what_plugins_print(account: Account, says: str) -> None:
    account.tell("sbatch.says", f"{says}\n")
    assert submitted(account, *PODS)["ns-c"] == Submitted("101_2")


# --- delete ---


async def test_tasks_that_wait_are_deleted_one_by_one(account: Account) -> None:
    submitted(account, *PODS)
    assert (await account.site.delete({"ns-b": False})).gone == {"ns-b"}
    assert account.calls("scancel") == ["scancel --ctld 101_1"]
    assert account.jobs() == ["101_0", "101_2"]
    (account.root / "ns-a/job.id").unlink()  # the reply of sbatch was lost
    assert (await account.site.delete({"ns-a": False, "ns-c": False})).gone == {"ns-a", "ns-c"}
    assert account.calls("scancel")[1:] == ["scancel --ctld 101_0 101_2"]
    assert account.jobs() == []
    assert {path.name for path in account.root.iterdir()} == {".remote-slurm"}


async def test_a_task_that_runs_is_signalled_alone(account: Account) -> None:
    submitted(account, *PODS)
    account.tell("jobs/101_1/state", "RUNNING")
    await account.site.delete({"ns-b": False})
    assert account.calls("scancel") == ["scancel --ctld --batch --signal=TERM 101_1"]
    await account.site.delete({"ns-b": True})
    assert account.calls("scancel")[1:] == ["scancel --ctld 101_1"]


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
async def test_a_task_whose_table_is_gone_is_known_by_its_id(account: Account, state: str) -> None:
    submitted(account, *PODS)
    (arrays(account)[0] / "job.sh").unlink()
    account.tell("jobs/101_1/state", state)
    await account.site.delete({"ns-b": True})
    assert account.calls("scancel") == ["scancel --ctld 101_1"]


@pytest.mark.parametrize("copied", ['echo /var/spool/copy >"$job/command"', 'echo "(null)" >"$job/command"'])
async def test_a_task_that_runs_a_copy_of_the_script_is_deleted(account: Account, copied: str) -> None:
    submitted(account, *PODS)
    for task in ("101_0", "101_1", "101_2"):
        account.alter(task, copied)
    await account.site.delete({"ns-b": True})
    assert account.calls("scancel") == ["scancel --ctld 101_1"]


async def test_a_failed_awk_is_no_empty_queue(account: Account) -> None:
    if "busybox" in account.shell:
        pytest.skip("runs its own awk")
    submitted(account, *PODS)
    account.command("awk", "exit 2")
    with pytest.raises(Exception, match="no pod was deleted"):
        await account.site.delete({"ns-b": True})


# --- poll ---


async def test_the_queue_shows_the_pods_of_tasks(account: Account) -> None:
    submitted(account, *PODS)
    account.tell("jobs/101_1/state", "RUNNING")
    for site in (account.site, account.site):  # neither has submitted the array
        for _ in range(2):
            jobs = {job.pod: (job.id, job.state) for job in (await site.queue()).jobs}
            assert jobs == {
                "ns-a": ("101_0", JobState.PENDING),
                "ns-b": ("101_1", JobState.RUNNING),
                "ns-c": ("101_2", JobState.PENDING),
            }


async def test_a_table_that_is_seen_late_is_asked_for_again(account: Account) -> None:
    submitted(account, *PODS)
    (array,) = arrays(account)
    (array / "job.sh").rename(array / "later")
    site = account.site
    queue = await site.queue()
    assert (queue.jobs, queue.others.keys()) == ((), {"101_0", "101_1", "101_2"})
    (array / "later").rename(array / "job.sh")
    assert {job.pod for job in (await site.queue()).jobs} == set(PODS)


async def test_a_single_task_is_looked_up(account: Account) -> None:
    submitted(account, *PODS)
    account.tell("jobs/101_1/state", "RUNNING")
    job = await account.site.job("101_1")
    assert job is not None
    assert (job.id, job.pod) == ("101_1", "ns-b")
    outputs = await account.site.outputs(["101_1"])
    assert "/ns-b/" in outputs["101_1"]


async def test_recovery_and_the_fence_know_ids_of_tasks(account: Account) -> None:
    submitted(account, *PODS)
    (account.claims / "ns-a.job").symlink_to("101_0")
    assert (await account.site.recover()).job_ids == {"ns-a": "101_0", "ns-b": "101_1", "ns-c": "101_2"}
    assert (await account.site.inspect_pods(PODS)).fences == {"ns-a": "101_0"}
    assert await account.site.abandon("ns-a") == Abandoned("101_0")


async def test_the_accounting_of_tasks_names_their_pods(account: Account) -> None:
    submitted(account, *PODS)
    row = "101_[0-1]|CANCELLED|0:0|1795470000|None|None|main|None assigned||sbatch --array=0,1,2 {}/job.sh\n"
    account.tell("sacct.says", row.format(arrays(account)[0]))
    found = {
        job.id: job.may_be_of(pod, None)
        for job, pod in zip(await account.site.accounting(["101_0"]), PODS, strict=False)
    }
    assert found == {"101_0": True, "101_1": True}


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_scripts_and_the_sidecar_read_the_same_ids_of_tasks(account: Account, state: str) -> None:
    ids = [*LISTS, *NO_LISTS, "7", "7_3"]
    rows = "\n".join(f"{each}|{state}|1|/elsewhere/job.sh" for each in ids)
    script = f"{script_text('arrays')}\nrows_of_tasks {quote(rows)}\n"
    printed = [line.partition("|")[0] for line in account.run(script).output.decode().splitlines()]
    assert printed == [each for text in ids for each in job_ids(text) or [text]]


# --- what is left ---


async def test_the_folder_of_an_array_goes_a_day_after_its_last_pod(account: Account) -> None:
    submitted(account, *PODS)
    (array,) = arrays(account)
    account.ask("recover", sidecar="s", owns="")
    two_days_ago = time.time() - 2 * 86400
    os.utime(array, (two_days_ago, two_days_ago))
    account.ask("recover", sidecar="s", owns="")
    assert array.exists()
    for pod in PODS:
        for _ in range(2):
            await account.site.delete({pod: True})
    account.ask("recover", sidecar="s", owns="")
    assert not array.exists()


def test_the_log_of_a_task_that_never_began_is_what_slurm_printed(account: Account) -> None:
    submitted(account, *PODS)
    (arrays(account)[0] / "1.out").write_text("slurmstepd: error: execve(): bad interpreter\n")
    values: dict[str, Any] = dict.fromkeys(
        ("lines", "bytes", "since", "offset", "run", "notes", "previous", "node_local", "follow"), ""
    )
    answer = account.ask("log", pod="ns-b", container="c", over="yes", **values)
    assert "bad interpreter" in answer.messages
