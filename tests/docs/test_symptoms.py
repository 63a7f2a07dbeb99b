"""The symptoms in docs/operations.md, which README.md leads to, are what the program prints."""

import asyncio
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import paramiko
import pytest

from remote_slurm.cli.ping import sentence
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.container_ends import end_sentence
from remote_slurm.errors import HostKeyRefused, RemoteSlurmError
from remote_slurm.service.reconnect_signal import ReconnectSignal
from remote_slurm.service.submitter import Submission, Submitter
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.reply import Reply
from remote_slurm.ssh.host_keys import KnownHost
from tests.fake_site import FOR_GOOD, FakeAccount, FakeSite
from tests.ssh.ssh_server import make_key

ROOT = Path(__file__).parents[2]
_COMMANDS = ("kubectl ", "remote-slurm ")


def symptoms() -> list[str]:
    """What stands between backticks in the first column, without commands."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.partition("\n## Troubleshooting\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ")]
    named = [name for row in rows for name in re.findall("`([^`]+)`", row)]
    return [name for name in named if not name.startswith(_COMMANDS)]


def _no_room(cause: str) -> Callable[[Path], str]:
    site = {"reachable": False, "error": "", "cause": cause, "retryInSeconds": 60, "retryFile": "/k"}
    return lambda _: sentence("ok", {"resources": {"pods": "0"}}, site, 0)


def _full(folder: Path) -> str:
    del folder
    site = {"reachable": True, "storageError": "no space", "storageRetryInSeconds": 30}
    return sentence("ok", {"resources": {"pods": "0"}}, site, 0)


def _unknown_host(folder: Path) -> str:
    key = paramiko.PKey.from_path(str(make_key(folder / "key")))
    with pytest.raises(HostKeyRefused) as raised:
        KnownHost(folder / "known_hosts", "login.example.org", 22).verify(key)
    return str(raised.value)


def _refused(folder: Path) -> str:
    del folder
    return asyncio.run(_refused_pod())


async def _refused_pod() -> str:
    account = FakeAccount(asyncio.get_running_loop().time)
    account.moods.append(FOR_GOOD)
    account.sbatch_seconds = 0
    tracked = TrackedPod("ns-1", "ns/p")
    await Submitter(FakeSite(account), ReconnectSignal()).submit(Submission(tracked, Payload("ns-1", b"files")))
    return tracked.failure


def _out_of_memory(folder: Path) -> str:
    del folder
    return end_sentence(Job("1", JobState.OUT_OF_MEMORY))


def _source(package: str, name: str) -> Callable[[Path], str]:
    return lambda _: (files(package) / name).read_text()


def _not_started(folder: Path) -> str:
    del folder
    return (files("remote_slurm.job") / "start_errors.sh").read_text()


def _reply(output: str) -> Callable[[Path], str]:
    def message(folder: Path) -> str:
        del folder
        with pytest.raises(RemoteSlurmError) as raised:
            Reply.parse("queue", output)
        return str(raised.value)

    return message


PRINTED: dict[str, Callable[[Path], str]] = {
    "pods 0": _no_room("Unreachable"),
    "SSH key refused": _no_room("KeyRefused"),
    "SSH host key refused": _no_room("HostKeyRefused"),
    "the host key of ... is unknown": _unknown_host,
    "Slurm refused the job ...": _refused,
    "the job ran out of memory": _out_of_memory,
    "StartError": _not_started,
    "a newer sidecar owns DataRootFolder": _reply(">superseded\n"),
    "Slurm command failed": _no_room("SlurmFailed"),
    "connected, but the poll fails": _source("remote_slurm.cli", "top_view.py"),
    "cannot submit the pod, trying again": _source("remote_slurm.service", "submitter.py"),
    "the pod's files could not be written at the site": _source("remote_slurm.site", "pod_replies.py"),
    "pods cannot be stored at the site": _full,
    "but pods cannot be stored": _source("remote_slurm.api", "page/page.js"),
    "no record of a container was written": _source("remote_slurm.domain.status", "container_ends.py"),
    "DataRootFolder ... cannot be used at the site": _reply("mkdir: no\n>unusable /r\n"),
}


def test_each_symptom_is_tested() -> None:
    assert set(symptoms()) == set(PRINTED)


@pytest.mark.parametrize("symptom", PRINTED)
def test_a_symptom_is_what_the_program_prints(tmp_path: Path, symptom: str) -> None:
    pattern = re.escape(symptom).replace(re.escape("..."), ".*")
    assert re.search(pattern, PRINTED[symptom](tmp_path))


def test_the_readme_leads_to_the_symptoms() -> None:
    assert "[Troubleshooting](docs/operations.md#troubleshooting)" in (ROOT / "README.md").read_text()
