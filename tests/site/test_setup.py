"""`init` looks at sites of every kind: the real scripts, in front of stand-ins for Slurm."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from remote_slurm.config import Config
from remote_slurm.errors import OfferedKey, RemoteSlurmError
from remote_slurm.service.check.submission import AnswersOperations
from remote_slurm.service.setup.choices import Choices, SiteFacts, Wishes
from remote_slurm.service.setup.file import render
from remote_slurm.service.setup.site_setup import SiteChoice
from remote_slurm.site.operations import survey
from remote_slurm.site.remote_site import RemoteSite
from tests.site.account import Account, LocalShells

SSH = {"HostName": "login.example.org", "User": "me", "IdentityFile": "/k", "UserKnownHostsFile": "/known_hosts"}

MAIN = "PartitionName=main AllowGroups=ALL AllowAccounts=ALL Default=YES State=UP MaxTime=1-00:00:00 TotalCPUs=8"
GPU = "PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL Default=NO State=UP TotalCPUs=64 TRES=cpu=64,gres/gpu=4"
CONFIG = ("SelectTypeParameters = CR_CORE_MEMORY", "DefMemPerCPU = 1000", "MaxArraySize = 1001")


@dataclass
class Answers:
    """Takes what is usual, unless it was told otherwise."""

    answers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    async def confirm(self, offered: Sequence[OfferedKey], *, are_all: bool) -> OfferedKey | None:
        del are_all
        return offered[0]

    async def choose(self, what: str, options: Sequence[str], usual: str) -> str:
        self.asked.append(f"{what}: {' '.join(options)} [{usual}]")
        return self.answers.get(what, usual)

    def say(self, text: str) -> None:
        self.said.append(text)


@dataclass
class LocalAccess:
    account: Account
    may_forward: bool | None = True

    def site(self, config: Config) -> AnswersOperations:
        return RemoteSite(LocalShells(self.account), config)

    async def forwards(self) -> bool | None:
        return self.may_forward


def shell(lines: Sequence[str]) -> str:
    return "".join(f"printf '%s\\n' '{line}'\n" for line in lines)


class OddSite:
    """An account whose Slurm can be made strange."""

    def __init__(self, account: Account) -> None:
        self.account = account
        account.command("squeue", "exit 0")
        account.command("sinfo", "echo 'sinfo: error' >&2; exit 1")
        account.command("sacct", "exit 0")
        account.command("sacctmgr", "exit 1")
        account.command("sshare", "exit 1")
        for runtime in ("apptainer", "singularity", "podman", "enroot"):
            account.command(runtime, f"echo {runtime} version 1.4")
        self.partitions(MAIN)
        self.sbatch()

    def partitions(self, *lines: str, config: Sequence[str] = CONFIG) -> None:
        self.account.command("scontrol", f"case $* in *partition) {shell(lines)} ;; *) {shell(config)} ;; esac")

    def sbatch(self, refuses: str = "*nothing*", words: str = "allocation failure: Invalid account") -> None:
        """--test-only refuses scripts that match the pattern of `case`."""
        self.account.command(
            "sbatch",
            f"[ $1 != --version ] || {{ echo slurm 24.11.5; exit; }}\n[ $1 = --test-only ] || exit 9\nscript=$(cat)\n"
            f"case $script in {refuses}) echo '{words}' >&2; exit 1 ;; esac\n",
        )

    async def choice(self, dialog: Answers | None = None, **wishes: str) -> tuple[SiteFacts, Choices, str]:
        found = SiteChoice(SSH, LocalAccess(self.account), dialog or Answers(), Wishes(**wishes))
        return await found.run()

    async def file(self, dialog: Answers | None = None, **wishes: str) -> str:
        facts, choices, _ = await self.choice(dialog, **wishes)
        text = render(SSH, facts, choices, ["login.example.org ssh-ed25519 SHA256:x"])
        assert max(map(len, text.splitlines())) <= 120
        Config.model_validate(yaml.safe_load(text))
        return text

    async def keys(self, dialog: Answers | None = None, **wishes: str) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(await self.file(dialog, **wishes))
        del found["SSH"]
        return found


@pytest.fixture
def odd(account: Account) -> OddSite:
    return OddSite(account)


async def test_the_survey_in_every_shell(each_account: Account) -> None:
    site = OddSite(each_account)
    each_account.command("sacctmgr", "case $* in *assoc*) echo 'phys||normal,long' ;; *) echo phys ;; esac")
    found = await site.account.site.ask(survey.operation())
    assert set(found.commands) >= {"sbatch", "squeue", "sinfo", "scancel", "scontrol", "srun"}
    assert found.outside_path == frozenset()
    assert found.runtimes[0] == ("apptainer", str(each_account.bin / "apptainer"))
    assert (found.accounts, found.default_account, found.qos) == (("phys",), "phys", ("normal", "long"))
    assert (found.home, found.folders[0].name, found.folders[0].path) == (str(each_account.home), "HOME", found.home)


async def test_an_ordinary_site_needs_few_keys(odd: OddSite) -> None:
    text = await odd.file()
    keys = yaml.safe_load(text)
    assert keys == {"SSH": SSH, "ContainerRuntime": "apptainer", "RuntimePath": str(odd.account.bin / "apptainer")}
    assert "# Partitions (* is the default):\n#   main*: 8 CPUs, time limit 1-00:00:00\n# Pods run in main" in text
    assert "# Slurm shows no accounts" in text
    assert "Memory: a pod that requests none gets the default of the site, 1000 MiB per CPU." in text
    assert "DataRootFolder, the folder for pods, is the default: .interlink/jobs" in text
    assert "Job arrays: up to 1000 tasks" in text
    assert "the login node forwards connections" in text


@pytest.mark.parametrize("size", ["0", "1"])
async def test_a_site_without_job_arrays_gets_none(odd: OddSite, size: str) -> None:
    odd.partitions(MAIN, config=[*CONFIG[:2], f"MaxArraySize = {size}"])
    assert (await odd.keys())["JobArrays"] == "off"


async def test_nothing_is_submitted(odd: OddSite) -> None:
    await odd.choice()
    assert odd.account.jobs() == []


async def test_a_site_without_a_default_partition(odd: OddSite) -> None:
    odd.partitions(MAIN.replace("Default=YES", "Default=NO"), GPU)
    odd.sbatch("*--partition=*) ;; *", "No partition specified or system default partition")
    assert await odd.keys() | {"RuntimePath": ""} == {
        "ContainerRuntime": "apptainer",
        "RuntimePath": "",
        "Flavors": {
            "default": {"SlurmFlags": ["--partition=main"]},
            "gpu": {"SlurmFlags": ["--partition=gpu", "--gres=gpu:1"]},
        },
        "DefaultFlavor": "default",
    }


async def test_a_partition_that_is_down_or_refused_is_left_out(odd: OddSite) -> None:
    odd.partitions(
        "PartitionName=a State=DOWN TotalCPUs=99", "PartitionName=b TotalCPUs=98", "PartitionName=c TotalCPUs=1"
    )
    odd.sbatch("*--partition=c*) ;; *")
    assert (await odd.choice())[1].flags == ("--partition=c",)


async def test_a_site_that_wants_an_account(odd: OddSite) -> None:
    odd.account.command("sacctmgr", "case $* in *assoc*) printf '%s\\n' 'a||' 'b||' ;; *) echo b ;; esac")
    odd.sbatch("*--account=b*) ;; *")
    assert (await odd.choice())[1].flags == ("--account=b",)


@pytest.mark.parametrize("sacctmgr", ["exit 0", "echo You are not running a supported plugin; exit 1", "exit 1"])
async def test_accounts_that_only_sshare_lists(odd: OddSite, sacctmgr: str) -> None:
    """sacctmgr may be closed to users, and then print nothing, or a notice on standard output."""
    odd.account.command("sacctmgr", sacctmgr)
    odd.account.command("sshare", "echo ' xyz'")
    facts, _, _ = await odd.choice()
    assert facts.survey.accounts == ("xyz",)


async def test_three_hundred_partitions(odd: OddSite) -> None:
    odd.partitions(MAIN, *(f"PartitionName=p{number} State=UP TotalCPUs=4" for number in range(299)))
    text = await odd.file()
    assert "and 288 more" in text
    assert len(text.splitlines()) < 60


async def test_a_site_that_hides_partitions(odd: OddSite) -> None:
    odd.account.command("scontrol", "echo 'slurm_load_partitions: Access/permission denied' >&2; exit 1")
    text = await odd.file()
    assert "Slurm shows no partitions to this account (PrivateData)" in text
    assert "does not show whether it is allocated" in text


async def test_partitions_that_only_sinfo_shows(odd: OddSite) -> None:
    odd.account.command("scontrol", "exit 1")
    odd.account.command("sinfo", "echo 'main*|up|1/3/0/4|2|mixed|1:00:00|gpu:2'")
    facts, _, _ = await odd.choice()
    assert [(each.name, each.is_default, each.cpus, each.gpus) for each in facts.partitions] == [("main", True, 4, 1)]


async def test_a_site_without_a_default_memory(odd: OddSite) -> None:
    odd.partitions(MAIN, config=["SelectTypeParameters = CR_Core_Memory", "DefMemPerNode = UNLIMITED"])
    assert (await odd.keys())["DefaultMemory"] == "2Gi"


async def test_nodes_with_less_memory_than_our_default(odd: OddSite) -> None:
    odd.partitions(MAIN, config=["SelectTypeParameters = CR_Core_Memory", "DefMemPerNode = UNLIMITED"])
    odd.sbatch("*--mem=2G*")
    assert "DefaultMemory" not in await odd.keys()


async def test_a_default_memory_that_no_node_has(odd: OddSite) -> None:
    """DefMemPerCPU of a partition may be more than MemSpecLimit leaves of a node."""
    odd.sbatch("*--mem=*) ;; *", "Requested node configuration is not available")
    assert (await odd.keys())["DefaultMemory"] == "2Gi"


async def test_a_site_that_refuses_memory_options(odd: OddSite) -> None:
    odd.sbatch("*--mem=*", "Memory specification can not be satisfied")
    text = await odd.file()
    assert yaml.safe_load(text)["ResourceFlags"] == {"memory": "none"}
    assert "refuses jobs with a memory option" in text


async def test_a_site_that_accepts_no_job(odd: OddSite) -> None:
    odd.sbatch("*", "allocation failure: Invalid account or account/partition combination specified")
    with pytest.raises(
        RemoteSlurmError, match="Slurm accepts no job of this account: allocation failure: Invalid"
    ) as raised:
        await odd.choice()
    assert "--account" in raised.value.remedy


async def test_a_site_in_maintenance_gets_a_file_and_a_warning(odd: OddSite) -> None:
    words = "allocation failure: Required node not available (down, drained or reserved)"
    odd.sbatch("*", words)
    _, choices, warning = await odd.choice()
    assert (choices.flags, warning) == ((), words)


async def test_a_host_without_slurm(odd: OddSite) -> None:
    for name in ("sbatch", "squeue", "sinfo", "scancel"):
        (odd.account.bin / name).unlink()
    with pytest.raises(
        RemoteSlurmError, match="has no Slurm that this account can use: sbatch, scancel, squeue, sinfo"
    ):
        await odd.choice()


async def test_a_slurm_that_is_down(odd: OddSite) -> None:
    odd.account.command("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(RemoteSlurmError, match="squeue fails: slurm_load_jobs error: Unable to contact"):
        await odd.choice()


async def test_commands_that_only_the_login_profile_finds(odd: OddSite) -> None:
    hidden = odd.account.home / "sw"
    hidden.mkdir()
    for name in ("sbatch", "sinfo"):
        (odd.account.bin / name).rename(hidden / name)
    (odd.account.home / ".bash_profile").write_text(f"echo noise\nPATH=$PATH:{hidden}\n")
    text = await odd.file()
    assert yaml.safe_load(text)["SbatchPath"] == f"{hidden}/sbatch"
    assert yaml.safe_load(text)["SinfoPath"] == f"{hidden}/sinfo"
    assert "SqueuePath" not in text


async def test_a_login_node_without_a_container_runtime(odd: OddSite) -> None:
    dialog = Answers()
    text = await odd.file(_without_runtimes(odd, dialog))
    assert yaml.safe_load(text)["ContainerRuntime"] == "none"
    assert "commands of pods run on the nodes themselves" in text
    assert dialog.asked[0].startswith("container runtime of the compute nodes")


async def test_a_runtime_that_the_person_knows_of(odd: OddSite) -> None:
    dialog = Answers({"container runtime of the compute nodes": "apptainer"})
    assert (await odd.keys(_without_runtimes(odd, dialog)))["ContainerRuntime"] == "apptainer"
    assert (await odd.keys(runtime="podman"))["ContainerRuntime"] == "podman"


def _without_runtimes(odd: OddSite, dialog: Answers) -> Answers:
    """Even if this machine has some in its PATH."""
    for name in ("apptainer", "singularity", "podman", "enroot"):
        (odd.account.bin / name).unlink()
    tools = odd.account.home / "tools"
    tools.mkdir()
    for path in (Path(each) for folder in ("/usr/bin", "/bin") for each in map(str, Path(folder).iterdir())):
        if path.name not in {"apptainer", "singularity", "podman", "enroot"} and not (tools / path.name).exists():
            (tools / path.name).symlink_to(path)
    odd.account.environment["PATH"] = f"{odd.account.bin}:{tools}"
    (odd.account.home / ".bash_profile").write_text(f"PATH={odd.account.bin}:{tools}\n")
    return dialog


async def test_a_runtime_that_is_a_module(odd: OddSite) -> None:
    _without_runtimes(odd, Answers())
    module = odd.account.home / "module"
    module.mkdir()
    (module / "apptainer").write_text("#!/bin/sh\n")
    (module / "apptainer").chmod(0o755)
    profile = odd.account.home / ".bash_profile"
    profile.write_text(f'{profile.read_text()}module() {{ [ "$2" = apptainer ] && PATH=$PATH:{module}; }}\n')
    keys = await odd.keys()
    assert (keys["ContainerRuntime"], keys["CommandPrefix"]) == ("apptainer", "module load apptainer")


async def test_a_scratch_folder_on_the_file_system_of_the_home(odd: OddSite) -> None:
    scratch = odd.account.home / "scratch"
    scratch.mkdir()
    (odd.account.home / ".profile").write_text(f"export SCRATCH={scratch}/\n")
    dialog = Answers()
    assert (await odd.keys(dialog))["DataRootFolder"] == f"{scratch}/interlink"
    assert dialog.asked[0].endswith(f"{scratch}/interlink .interlink/jobs [{scratch}/interlink]")


async def test_a_folder_that_cannot_be_used_is_not_chosen(odd: OddSite) -> None:
    scratch = odd.account.home / "scratch"
    scratch.mkdir()
    (scratch / "interlink").write_text("a file")
    (odd.account.home / ".profile").write_text(f"export SCRATCH={scratch}\n")
    assert "DataRootFolder" not in await odd.keys()
    with pytest.raises(RemoteSlurmError, match=f"DataRootFolder {scratch}/interlink cannot be used"):
        await odd.choice(folder=f"{scratch}/interlink")


async def test_the_person_chooses_partition_and_account(odd: OddSite) -> None:
    odd.partitions(MAIN, GPU)
    odd.account.command("sacctmgr", "case $* in *assoc*) printf '%s\\n' 'a||' 'b||' ;; *) echo a ;; esac")
    dialog = Answers({"partition for pods that name none": "gpu", "Slurm account": "b"})
    assert (await odd.choice(dialog))[1].flags == ("--partition=gpu", "--account=b")
    assert dialog.asked[1:] == ["partition for pods that name none: main gpu [main]", "Slurm account: a b [a]"]
    assert (await odd.choice(partition="gpu", qos="long"))[1].flags == ("--partition=gpu", "--qos=long")


async def test_a_person_is_asked_again_after_a_wrong_answer(odd: OddSite) -> None:
    odd.partitions(MAIN, GPU)
    odd.sbatch("*--partition=wrong*", "allocation failure: Invalid partition name specified")
    dialog = Answers({"partition for pods that name none": "wrong"})
    with pytest.raises(RemoteSlurmError, match="no job with the partition"):
        await odd.choice(dialog)
    assert len(dialog.asked) == 4
    assert "Slurm accepts no job of this account: allocation failure: Invalid partition" in dialog.said[-1]


async def test_what_the_site_prints_cannot_leave_its_comment(odd: OddSite) -> None:
    odd.account.command("sacctmgr", "printf 'x: y # z\\033[31m|\\n- evil: true\\r\\n'")
    odd.partitions(MAIN, "PartitionName=a\033[31m", 'PartitionName=b"c MaxTime=\033[31m')
    text = await odd.file()
    assert "\033" not in text
    assert "\r" not in text
    assert set(yaml.safe_load(text)) == {"SSH", "ContainerRuntime", "RuntimePath"}
