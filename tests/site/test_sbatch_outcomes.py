"""Slurm's moods: what it says of a submission, and what is true of it."""

import asyncio
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.submit_outcome import Deleted, Submitted
from remote_slurm.errors import RemoteFailed, SubmissionRefused
from tests.site.account import Account
from tests.site.local_sidecar import PATIENCE, Counted, created, ended, nodes, sidecar
from tests.site.payloads import POD, packed

ACCEPTED_ALL_THE_SAME = [
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (receive failure)",
]
REFUSED_FOR_NOW = [
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Job violates accounting/QOS policy (job submit limit)",
    "sbatch: error: AssocMaxSubmitJobLimit",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
]


@pytest.mark.parametrize("words", ACCEPTED_ALL_THE_SAME)
async def test_a_job_that_slurm_took_although_sbatch_reported_failure_is_found(
    account: Account, tmp_path: Path, words: str
) -> None:
    pod = Counted.at(account)
    account.tell("sbatch.lies", words)
    async with sidecar(account, tmp_path / "state", replace(PATIENCE, search=60)) as pods, nodes(account):
        assert await created(pods, pod) == "101"
        await ended(pods, pod)
    assert (account.jobs(), pod.runs) == (["101"], 1)


@pytest.mark.parametrize("words", REFUSED_FOR_NOW)
async def test_a_job_that_is_refused_for_now_waits_and_is_tried_again(
    account: Account, tmp_path: Path, words: str
) -> None:
    pod = Counted.at(account)
    account.refuse(words)
    async with sidecar(account, tmp_path / "first") as pods:
        assert await created(pods, pod) == ""
        state = pods.status([pod.pod])[0]["containers"][0]["state"]
        assert "asked again" in state["waiting"]["message"]
    (account.slurm / "sbatch.refuses").unlink()
    async with sidecar(account, tmp_path / "second") as pods, nodes(account):  # also by one that starts anew
        status = await ended(pods, pod)
    assert (account.jobs(), pod.runs) == ([status["JID"]], 1)


async def test_a_restarted_sidecar_reports_a_refusal_again(account: Account, tmp_path: Path) -> None:
    pod = Counted.at(account)
    account.refuse("sbatch: error: invalid partition specified: gold")
    async with sidecar(account, tmp_path / "first") as pods:
        assert isinstance(await created(pods, pod), SubmissionRefused)
    assert not (account.root / pod.pod.key).exists()


async def test_warnings_beside_a_success_are_just_warnings(account: Account, tmp_path: Path) -> None:
    pod = Counted.at(account)
    account.tell("sbatch.warns", "sbatch: error: your project expires\nsbatch: warning: be nice\n")
    async with sidecar(account, tmp_path / "state") as pods, nodes(account):
        assert await created(pods, pod) == "101"
        await ended(pods, pod)
    assert pod.runs == 1


@pytest.mark.parametrize(
    "accounting",
    ["101|COMPLETED|0:0|1795470000|1795470001|1795470009|main|n1|cpu=1|sbatch /x/{pod}/job.sh\n", ""],
    ids=["with sacct", "without"],
)
async def test_a_job_that_squeue_has_forgotten_before_the_first_poll(
    account: Account, tmp_path: Path, accounting: str
) -> None:
    pod = Counted.at(account)
    account.tell(
        "sacct.says" if accounting else "sacct.fails",
        accounting.format(pod=pod.pod.key) or "Slurm accounting storage is disabled",
    )
    async with sidecar(account, tmp_path / "state") as pods:
        assert await created(pods, pod) == "101"
        account.run_jobs()
        shutil.rmtree(account.slurm / "jobs/101")
        status = await ended(pods, pod)
    assert status["containers"][0]["state"]["terminated"]["exitCode"] == 0


async def test_a_job_id_that_is_used_again_is_not_ours(account: Account, tmp_path: Path) -> None:
    """Neither its end nor its cancelling."""
    pod = Counted.at(account)
    account.tell("sacct.fails", "Slurm accounting storage is disabled")
    async with sidecar(account, tmp_path / "state") as pods:
        assert await created(pods, pod) == "101"
        account.job("101", "FAILED", "/home/somebody/else/job.sh")
        await pods.poller.poll()
        assert "waiting" in pods.status([pod.pod])[0]["containers"][0]["state"]
        account.job("101", "RUNNING", "/home/somebody/else/job.sh")
        assert (await account.site.delete({pod.pod.key: True})).gone == {pod.pod.key}
    assert account.calls("scancel") == []
    assert (account.slurm / "jobs/101/state").read_text() == "RUNNING"


COPIES = {
    "a copy of the script": ('echo /tmp/copy >"$job/command"', "arguments"),
    "the script on stdin": ('echo "(null)" >"$job/command"', "arguments"),
    "no output file": ('echo /tmp/copy >"$job/command"; echo --output=/dev/null >"$job/arguments"', "time"),
}


@pytest.mark.parametrize("mood", COPIES)
async def test_a_job_that_runs_a_copy_of_the_script_is_known_by_its_id(
    account: Account, tmp_path: Path, mood: str
) -> None:
    pod = Counted.at(account)
    async with sidecar(account, tmp_path / "state") as pods:
        assert await created(pods, pod) == "101"
        script = (account.slurm / "jobs/101/command").read_text()
        account.alter("101", COPIES[mood][0])
        tracked = pods.pod_store.add(pod.pod.key)
        for _ in range(20):  # a poll that began before is of no use
            await pods.poller.poll()
            if tracked.runs_copy:
                break
        assert tracked.runs_copy
        (account.slurm / "jobs/101/command").write_text(script)
        account.run_jobs()
        account.alter("101", COPIES[mood][0])
        status = await ended(pods, pod)
        assert pods.pod_store.add(pod.pod.key).runs_copy
    assert status["containers"][0]["state"]["terminated"]["exitCode"] == 0


@pytest.mark.parametrize("mood", COPIES)
@pytest.mark.parametrize("key", ["recorded", "claimed"])
async def test_a_delete_cancels_a_job_that_runs_a_copy(each_account: Account, mood: str, key: str) -> None:
    await each_account.site.submit(POD, packed())
    each_account.alter("101", COPIES[mood][0])
    if key == "claimed":
        (each_account.root / POD / "job.id").write_text("7\n")
        (each_account.claims / f"{POD}.job").symlink_to("101")
    assert (await each_account.site.delete({POD: False})).gone == {POD}
    assert (each_account.slurm / "jobs/101/state").read_text() == "CANCELLED\n"


async def test_a_delete_waits_for_a_claimed_job_that_may_be_another_one(account: Account) -> None:
    """Its output file is no pod's, and its submit time is another one: Slurm may have requeued it."""
    await account.site.submit(POD, packed())
    account.alter("101", COPIES["no output file"][0] + '; echo 1700000000 >"$job/submitted"')
    (account.claims / f"{POD}.job").symlink_to("101")
    cancelled = await account.site.delete({POD: True})
    assert (cancelled.gone, account.calls("scancel")) == (frozenset(), [])
    assert cancelled.stuck == {
        POD: "job 101 has the fence of the pod, but another script: scancel it if it is the pod's job"
    }


@pytest.mark.parametrize("says", ["42", "7\n42"], ids=["a line of digits", "several"])
async def test_a_job_whose_id_a_wrapper_hid_is_found_by_its_script(account: Account, tmp_path: Path, says: str) -> None:
    pod = Counted.at(account)
    account.tell("sbatch.says", f"{says}\n")
    async with sidecar(account, tmp_path / "state", replace(PATIENCE, search=60)) as pods, nodes(account):
        await created(pods, pod)
        await ended(pods, pod)
        await pods.poller.poll()
        assert pods.status([pod.pod])[0]["JID"] == "101"
    assert pod.runs == 1


async def test_output_of_sbatch_without_an_id_becomes_the_pods_message(account: Account, tmp_path: Path) -> None:
    pod = Counted.at(account)
    account.command("sbatch", "echo your request is in the hands of the help desk")
    async with sidecar(account, tmp_path / "state", replace(PATIENCE, search=60)) as pods:
        assert await created(pods, pod) == ""
        words = "sbatch printed no job id, but: your request is in the hands of the help desk"
        while words not in pods.status([pod.pod])[0]["containers"][0]["state"]["waiting"]["message"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_end_of_another_job_with_the_same_id_is_not_the_pods(account: Account, tmp_path: Path) -> None:
    """MaxJobId was reached, and the accounting shows both."""
    pod = Counted.at(account)
    row = "101|{}|{}|{}|1795470001|1795470009|main|n1|cpu=1|sbatch {}\n"
    ours = row.format("FAILED", "3:0", int(time.time()), account.root / pod.pod.key / "job.sh")
    another = row.format("COMPLETED", "0:0", int(time.time()) + 10, "/home/somebody/simulation.sh")
    account.tell("sacct.says", another)
    async with sidecar(account, tmp_path / "state") as pods:
        assert await created(pods, pod) == "101"
        await pods.poller.poll()
        shutil.rmtree(account.slurm / "jobs/101")
        for _ in range(3):
            await pods.poller.poll()
        assert "terminated" not in pods.status([pod.pod])[0]["containers"][0]["state"]
        account.tell("sacct.says", ours + another)
        status = await ended(pods, pod)
    assert status["containers"][0]["state"]["terminated"]["exitCode"] == 3


async def test_squeue_runs_without_the_folder_once_its_path_is_known(account: Account) -> None:
    """Its file system may hang."""
    site = account.site
    await site.submit(POD, packed())
    await site.queue()
    account.root.rename(account.home / "elsewhere")
    assert [job.pod for job in (await site.queue()).jobs] == [POD]
    assert not account.root.exists()


async def test_a_job_whose_script_only_begins_like_the_pods_is_not_the_pods(account: Account) -> None:
    await account.site.submit(POD, packed())
    account.job("101", "RUNNING", f"{account.root / POD}/job.sh.old")
    assert (await account.site.delete({POD: True})).gone == {POD}
    assert account.calls("scancel") == []


@pytest.mark.parametrize(("name", "goes"), [(POD, True), ("else", False)])
async def test_a_link_takes_only_a_work_folder_of_the_pods_name_along(
    account: Account, tmp_path: Path, name: str, *, goes: bool
) -> None:
    """Who runs in the job can make it lead anywhere."""
    await account.site.submit(POD, packed())
    account.job("101", "COMPLETED", account.root / POD / "job.sh")
    elsewhere = tmp_path / "elsewhere" / name
    elsewhere.mkdir(parents=True)
    (account.root / POD / "workdir").symlink_to(elsewhere)
    assert (await account.site.delete({POD: False})).gone == {POD}
    assert elsewhere.exists() is not goes


async def test_a_job_is_not_ours_any_more_once_data_root_folder_leads_elsewhere(account: Account) -> None:
    """Although squeue prints the same line as before. The job is one that a version before 0.2 submitted."""
    for folder in ("old", "new"):
        (account.home / folder).mkdir()
    account.root.symlink_to("old")
    site = account.site
    account.job("101", "PENDING", account.home / "old" / POD / "job.sh")
    await site.records()
    assert [job.pod for job in (await site.queue()).jobs] == [POD]
    account.root.unlink()
    account.root.symlink_to("new")
    await site.records()
    assert (await site.queue()).jobs == ()


async def test_sbatch_gets_the_configured_path_which_is_a_link(each_account: Account) -> None:
    (each_account.home / "mnt").mkdir()
    each_account.root.symlink_to("mnt")
    folder = each_account.root / POD
    assert await each_account.site.submit(POD, packed()) == Submitted("101")
    words = (each_account.slurm / "jobs" / "101" / "arguments").read_text().splitlines()
    assert words == ["--parsable", f"--output={folder}/job-%j.out", f"--chdir={folder}", f"{folder}/job.sh"]


def with_chdir() -> Payload:
    return replace(packed(text="#SBATCH --no-requeue\n#SBATCH --chdir=/scratch\n\ntrue"), sets_chdir=True)


async def test_a_chdir_of_the_pods_own_flags_is_kept(account: Account) -> None:
    await account.site.submit(POD, with_chdir())
    assert "--chdir" not in (account.slurm / "jobs" / "101" / "arguments").read_text()


async def test_a_chdir_of_a_pod_whose_files_were_sent_before_is_kept(account: Account) -> None:
    account.tell("sbatch.refuses", REFUSED_FOR_NOW[0])
    account.tell("sbatch.code", "1")
    await account.site.submit(POD, with_chdir())
    (account.slurm / "sbatch.refuses").unlink()
    await account.site.withdraw(POD, keep_folder=True)
    assert await account.site.submit(POD, Payload()) == Submitted("101")
    assert "--chdir" not in (account.slurm / "jobs" / "101" / "arguments").read_text()


@pytest.mark.parametrize("folder", ["jobs", "mnt"])
async def test_an_upgrade_finds_and_cancels_jobs_with_the_path_without_links(
    each_account: Account, folder: str
) -> None:
    """Versions before 0.2 submitted job.sh by the real path of DataRootFolder."""
    (each_account.home / "mnt").mkdir()
    each_account.root.symlink_to("mnt")
    await each_account.site.submit(POD, packed())
    (each_account.root / POD / "job.id").unlink()
    each_account.job("101", "RUNNING", each_account.home / folder / POD / "job.sh")
    site = each_account.owner()
    await site.recover()
    for _ in range(2):
        assert [(job.id, job.pod) for job in (await site.queue()).jobs] == [("101", POD)]
    assert (await site.delete({POD: True})).gone == set()
    assert each_account.calls("scancel") == ["scancel --ctld 101"]


async def test_a_suspended_job_is_not_signalled_before_its_time_is_up(account: Account) -> None:
    """scancel would try for a minute and a half, and all other deletes would wait for it."""
    await account.site.submit(POD, packed())
    account.job("101", "SUSPENDED", account.root / POD / "job.sh")
    assert (await account.site.delete({POD: False})).gone == set()
    assert account.calls("scancel") == []
    account.job("101", "RUNNING", account.root / POD / "job.sh")
    assert (await account.site.delete({POD: False})).gone == set()
    assert account.calls("scancel") == ["scancel --ctld --batch --signal=TERM 101"]
    account.job("101", "SUSPENDED", account.root / POD / "job.sh")
    await account.site.delete({POD: True})
    assert account.calls("scancel")[1:] == ["scancel --ctld 101"]


async def test_a_folder_that_is_busy_is_removed_later(account: Account) -> None:
    """As NFS keeps a file that a process holds open as .nfs0001, and cannot remove its folder."""
    await account.site.submit(POD, packed())
    account.job("101", "COMPLETED", account.root / POD / "job.sh")
    account.command(
        "rm", f"case $* in *{POD}) echo 'rm: Device or resource busy' >&2; exit 1; esac\nexec /bin/rm \"$@\""
    )
    for _ in range(2):
        cancelled = await account.site.delete({POD: False})
        assert cancelled.gone == set()
        assert cancelled.stuck == {POD: "rm: Device or resource busy"}
    (account.bin / "rm").unlink()
    assert (await account.site.delete({POD: False})).gone == {POD}
    assert not (account.root / POD).exists()


async def test_a_folder_whose_file_system_hangs_holds_up_no_other_delete(account: Account) -> None:
    """Of a job-workdir, which may lie anywhere. The other pod comes behind it, and its job runs."""
    other = "ns-2"
    for pod, job, state in ((POD, "101", "COMPLETED"), (other, "102", "RUNNING")):
        await account.site.submit(pod, packed(pod))
        account.job(job, state, account.root / pod / "job.sh")
    elsewhere = account.root.parent / "elsewhere" / POD
    elsewhere.mkdir(parents=True)
    (account.root / POD / "workdir").symlink_to(elsewhere)
    account.command("timeout", 'case $* in *elsewhere*) exit 124; esac\nexec /usr/bin/timeout "$@"')
    cancelled = await account.site.delete({POD: False, other: False})
    assert cancelled.gone == set()
    assert cancelled.stuck == {
        POD: f"removing {elsewhere} took longer than 10 s, and is continued: its file system may hang"
    }
    assert account.calls("scancel") == ["scancel --ctld --batch --signal=TERM 102"]
    (account.bin / "timeout").unlink()
    account.job("102", "COMPLETED", account.root / other / "job.sh")
    assert (await account.site.delete({POD: False, other: False})).gone == {POD, other}
    assert not elsewhere.exists()


async def test_a_stop_signal_that_failed_is_sent_again(account: Account) -> None:
    await account.site.submit(POD, packed())
    account.job("101", "RUNNING", account.root / POD / "job.sh")
    account.tell("scancel.fails")
    for _ in range(3):
        assert (await account.site.delete({POD: False})).gone == set()
    assert account.calls("scancel") == ["scancel --ctld --batch --signal=TERM 101"] * 2


async def test_the_grace_period_of_a_delete_is_written_before_the_signal(account: Account) -> None:
    """And does not change once it was, as its runner keeps it by then; nothing of it is left behind."""
    await account.site.submit(POD, packed())
    account.job("101", "RUNNING", account.root / POD / "job.sh")
    reported = account.root / f".remote-slurm/claims/{POD}.stop/grace"
    account.command("scancel", f'cp {reported} {account.root}/seen; echo "scancel $*" >>"$SLURM/calls"')
    for seconds in (5, 7):
        assert (await account.site.delete({POD: False}, {POD: seconds})).gone == set()
    assert (account.root / "seen").read_text() == reported.read_text() == "5\n"
    assert account.calls("scancel") == ["scancel --ctld --batch --signal=TERM 101"]
    account.job("101", "COMPLETED", account.root / POD / "job.sh")
    assert (await account.site.delete({POD: False}, {POD: 5})).gone == {POD}
    assert not reported.parent.exists()


async def test_where_a_delete_has_none_of_its_own_nothing_is_said_of_it(account: Account) -> None:
    await account.site.submit(POD, packed())
    account.job("101", "RUNNING", account.root / POD / "job.sh")
    account.tell("scancel.fails")
    assert (await account.site.delete({POD: False}, {POD: 5})).gone == set()
    assert (await account.site.delete({POD: False}, {"ns-other": 5})).gone == set()
    assert list((account.root / f".remote-slurm/claims/{POD}.stop").iterdir()) == []
    assert account.calls("scancel") == ["scancel --ctld --batch --signal=TERM 101"] * 2


@pytest.mark.parametrize(
    "state", ["PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"]
)
async def test_a_job_without_a_shell_is_cancelled(account: Account, state: str) -> None:
    await account.site.submit(POD, packed())
    account.job("101", state, account.root / POD / "job.sh")
    assert (await account.site.delete({POD: False})).gone == {POD}
    assert account.calls("scancel") == ["scancel --ctld 101"]


async def test_a_delete_while_squeue_fails_says_so_and_removes_nothing(account: Account) -> None:
    await account.site.submit(POD, packed())
    account.tell("squeue.fails", "slurm_load_jobs error: Unable to contact slurm controller\n")
    with pytest.raises(RemoteFailed, match="Unable to contact slurm controller"):
        await account.site.delete({POD: True})
    assert (account.root / POD).is_dir()
    assert account.calls("scancel") == []


async def test_a_tombstone_that_cannot_be_made_does_not_block_others(account: Account) -> None:
    await account.site.submit(POD, packed())
    (account.claims / f"{POD}.deleted").mkdir()
    account.tell("squeue.fails", "slurm_load_jobs error: Unable to contact slurm controller\n")
    with pytest.raises(RemoteFailed):
        await account.site.delete({POD: False, "ns-2": False})
    assert await account.site.submit("ns-2", packed("ns-2")) == Deleted()


async def test_a_delete_that_could_not_be_noted_is_not_done(account: Account) -> None:
    await account.site.submit(POD, packed())
    account.job("101", "COMPLETED", account.root / POD / "job.sh")
    account.command("ln", "exit 1")
    assert (await account.site.delete({POD: False})).gone == set()
    (account.bin / "ln").unlink()
    assert (await account.site.delete({POD: False})).gone == {POD}
