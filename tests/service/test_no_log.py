"""Why there is no log, in one sentence."""

import re
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.domain.status.no_log import NoLogReason
from remote_slurm.errors import InvalidRequest, RemoteFailed
from remote_slurm.service.logs import Logs
from remote_slurm.service.pod_store import PodStore
from remote_slurm.site.operations.log import NoLog, OpenLog, opened
from tests.fake_site import FakeSite

POD = "ns-1"
PENDING = Job("7", JobState.PENDING, "Resources", pod=POD)


class NoLogs(FakeSite):
    """A site without logs, and with a node that cannot be reached."""

    def __init__(self, reason: NoLogReason) -> None:
        super().__init__()
        self._reason = reason

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> NoLog:
        assert what.pod == POD
        assert over in (True, False)
        if at:
            raise RemoteFailed("srun: error: Unable to create step")
        return NoLog(self._reason)


async def refusal(pod_store: PodStore, reason: NoLogReason) -> str:
    logs = Logs(NoLogs(reason), pod_store)
    with pytest.raises(InvalidRequest) as raised:
        await anext(logs.read(LogSlice(POD, "main")))
    return str(raised.value)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("", "the log of container 'main' stayed on its node: the job ended before it was fetched"),
        ("job 7: no folder can be made", "there is no log of container 'main': job 7: no folder can be made"),
    ],
)
async def test_a_log_stays_on_a_node_only_if_its_container_ran(failure: str, sentence: str) -> None:
    pod_store = PodStore()
    tracked = pod_store.add(POD)
    if failure:
        tracked.fail(failure)
    else:
        tracked.finalize()
    assert await refusal(pod_store, NoLogReason.STAYED_ON_NODE) == sentence


@pytest.mark.parametrize("reason", [NoLogReason.WAITING, NoLogReason.NO_PREVIOUS_RUN])
async def test_a_log_on_an_unreachable_node_is_an_error_of_the_site(reason: NoLogReason) -> None:
    pod_store = PodStore()
    pod_store.add(POD).update_from_squeue(Job("7", JobState.RUNNING, pod=POD, comment="at=/tmp/a;|"))
    with pytest.raises(RemoteFailed, match="Unable to create step"):
        await anext(Logs(NoLogs(reason), pod_store).read(LogSlice(POD, "main")))


class GoneFromNode(FakeSite):
    """The job ended just now: its logs have been copied from the node, and the folder there has been removed."""

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog | NoLog:
        return NoLog(NoLogReason.NO_FOLDER) if at else await super().open_log(what, over=over)


async def test_a_log_is_read_at_the_site_once_the_folder_on_the_node_is_gone() -> None:
    pod_store, site = PodStore(), GoneFromNode()
    site.account.folders[POD] = {}
    pod_store.add(POD).update_from_squeue(Job("7", JobState.RUNNING, pod=POD, comment="at=/tmp/a;|"))
    log = Logs(site, pod_store).read(LogSlice(POD, "main"))
    with pytest.raises(RemoteFailed, match="folder on its node has been removed"):
        await anext(log)
    site.account.logs[POD] = b"hello\n"
    log = Logs(site, pod_store).read(LogSlice(POD, "main"))
    assert b"".join([data async for data in log]) == b"hello\n"


class OnNode(FakeSite):
    """A running pod: the login node knows nothing of its container."""

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog | NoLog:
        return await super().open_log(what, over=over) if at else NoLog(NoLogReason.WAITING)


async def test_a_log_on_a_node_is_found_by_the_first_poll_of_a_new_sidecar() -> None:
    """It was refused as that of a container that waits to start, until then."""
    pod_store, site = PodStore(), OnNode()
    site.account.folders[POD], site.account.logs[POD] = {}, b"hello\n"

    async def first_poll() -> bool:
        pod_store.add(POD).update_from_squeue(Job("7", JobState.RUNNING, pod=POD, comment="at=/tmp/a;|"))
        return True

    log = Logs(site, pod_store, first_poll=first_poll).read(LogSlice(POD, "main"))
    assert b"".join([data async for data in log]) == b"hello\n"


@pytest.mark.parametrize(
    ("job", "waiting", "failure", "deleted", "words"),
    [
        (None, "image a is being pulled", "", False, "is waiting to start: image a is being pulled$"),
        (PENDING, "", "", False, "waiting to start: job 7 is pending in Slurm: Resources: waiting for nodes"),
        (None, "", "Slurm refused the job of pod a/b: Invalid qos", False, "no log of container 'main': Slurm refused"),
        (replace(PENDING, state=JobState.RUNNING), "", "", True, "its pod is being deleted$"),
    ],
)
async def test_a_missing_log_says_why(
    job: Job | None, waiting: str, failure: str, words: str, *, deleted: bool
) -> None:
    pod_store = PodStore()
    tracked = pod_store.add(POD)
    tracked.waiting, tracked.failure, tracked.deleted = waiting, failure, deleted
    if job:
        tracked.update_from_squeue(job)
    assert re.search(words, await refusal(pod_store, NoLogReason.WAITING))


async def test_an_unusable_root_is_no_missing_log() -> None:
    """The folder may be out of reach for a while, as on a login node whose file system hangs."""

    async def output() -> AsyncGenerator[bytes, None]:
        yield b"mkdir: cannot create directory '/r': Permission denied\n>unusable /r\n"

    with pytest.raises(RemoteFailed, match=r"DataRootFolder /r cannot be used at the site: mkdir: .*Permission denied"):
        await opened(output())
