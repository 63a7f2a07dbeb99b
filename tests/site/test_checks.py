"""The operations of `remote-slurm check`, in each shell that a login node may have as /bin/sh."""

import shutil
import time

import pytest

from remote_slurm.domain.slurm.flags import Flag
from remote_slurm.errors import SlurmFailed
from remote_slurm.site.operations import (
    check_clock,
    check_folder,
    check_round_trip,
    check_runtime,
    check_shell,
    check_slurm,
    slurm_settings,
    try_submit,
)
from remote_slurm.site.operations.check_runtime import RuntimeCheck
from remote_slurm.site.operations.check_slurm import SlurmCheck
from remote_slurm.site.operations.try_submit import TriedJob
from tests.site.account import Account

SBATCH = "echo a notice; echo slurm 24.11.5"


async def test_the_shell(each_account: Account) -> None:
    found = await each_account.site.ask(check_shell.operation(each_account.config))
    assert (found.is_posix, found.missing, found.missing_bash) == (True, (), "")
    assert found.account
    assert found.host


async def test_slurm(each_account: Account) -> None:
    await each_account.site.recover()
    each_account.command("sbatch", SBATCH)
    each_account.command("sinfo", "echo 4")
    each_account.job("7", "RUNNING", "/x/job.sh")
    each_account.tell("sacct.says")
    found = await each_account.site.ask(check_slurm.operation(each_account.config))
    assert found == SlurmCheck((), ("a notice", "slurm 24.11.5"), "1", has_accounting=True)


async def test_slurm_commands_that_fail(account: Account) -> None:
    account.command("sbatch", SBATCH)
    account.command("sinfo", "echo no; exit 3")
    account.tell("squeue.fails", "slurm_load_jobs error\n")
    account.tell("sacct.fails")
    found = await account.site.ask(check_slurm.operation(account.config))
    assert found.squeue_failed is not None
    assert "slurm_load_jobs error" in found.squeue_failed
    assert (found.sinfo_failed, found.has_accounting) == ("exit code 3: no", False)


async def test_slurm_commands_that_are_absent(account: Account) -> None:
    paths = {"sbatch_path": "/none/sbatch", "sinfo_path": "/none/sinfo"}
    config = account.config.model_copy(update=paths)
    assert await account.site.ask(check_slurm.operation(config)) == SlurmCheck(("/none/sbatch", "/none/sinfo"))


@pytest.mark.parametrize(("runtime", "path"), [("cat", shutil.which("cat")), ("/none/apptainer", "")])
async def test_the_runtime(account: Account, runtime: str, path: str) -> None:
    found = await account.site.ask(check_runtime.operation(runtime))
    assert found.path == path
    assert (found == RuntimeCheck("", "")) is (not path)


TEST_ONLY = """\
[ "$1" = --test-only ] || exit 9
script=$(cat)
case $script in
    *--partition=nope*) echo "allocation failure: Invalid partition" >&2; exit 1 ;;
    *) echo "sbatch: Job 1 to start at once" >&2 ;;
esac
"""


async def test_jobs_that_are_only_tried(each_account: Account) -> None:
    each_account.command("sbatch", TEST_ONLY)
    jobs = [(Flag("partition", "nope"),), (Flag("no-requeue"),), ()]
    found = await each_account.site.ask(try_submit.operation(each_account.config, jobs))
    assert found == [
        TriedJob(1, ("allocation failure: Invalid partition",)),
        TriedJob(0, ("sbatch: Job 1 to start at once",)),
        TriedJob(0, ("sbatch: Job 1 to start at once",)),
    ]
    first = await each_account.site.ask(try_submit.operation(each_account.config, jobs, until_accepted=True))
    assert first == found[:2]
    assert each_account.jobs() == []


SCONTROL = """\
case $* in
    "--oneliner show partition") echo "PartitionName=main Default=YES DefMemPerCPU=100" ;;
    "show config")
        echo "SlurmctldHost = h"
        echo "DefMemPerNode           = UNLIMITED"
        echo "SelectTypeParameters = CR_CPU"
        ;;
esac
"""


async def test_the_settings_of_slurm(each_account: Account) -> None:
    each_account.command("scontrol", SCONTROL)
    found = await each_account.site.ask(slurm_settings.operation(each_account.config))
    assert [each.name for each in found.partitions] == ["main"]
    assert found.values == {"DefMemPerNode": "UNLIMITED", "SelectTypeParameters": "CR_CPU"}


async def test_settings_that_slurm_does_not_show(account: Account) -> None:
    account.command("scontrol", "echo slurm_load_partitions: denied >&2; exit 1")
    with pytest.raises(SlurmFailed, match="scontrol failed with exit code 1: slurm_load_partitions: denied"):
        await account.site.ask(slurm_settings.operation(account.config))


async def test_the_folder(each_account: Account) -> None:
    found = await each_account.site.ask(check_folder.operation())
    assert (found.root, found.is_written, found.has_symlinks) == (str(each_account.root), True, True)
    assert (found.is_out_of_space, found.is_caseless, found.has_short_names) == (False, False, False)
    assert found.free_kib


async def test_the_round_trip(each_account: Account) -> None:
    assert await each_account.site.ask(check_round_trip.operation()) == ""


async def test_the_clock(each_account: Account) -> None:
    shown = await each_account.site.ask(check_clock.operation())
    assert abs(float(shown.partition(".")[0]) - time.time()) < 3600
