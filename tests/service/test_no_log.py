"""Why there is no log, in one sentence."""

import pytest

from remote_slurm.domain.logs import LogSlice
from remote_slurm.domain.slurm import Job, JobState
from remote_slurm.errors import Rejected, RemoteFailed
from remote_slurm.remote.site import NoLog
from remote_slurm.service.entries import Entries
from remote_slurm.service.logs import Logs

POD = "ns-1"


class FakeSite:
    """Of each log it says that it stayed on its node."""

    async def open_log(self, what: LogSlice, *, over: bool, at: object) -> NoLog:
        assert (what.pod, over, at) == (POD, True, None)
        return NoLog("stayed")


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("", "the log of container 'main' stayed on its node: the job ended before it was fetched"),
        ("job 7: no folder can be made", "there is no log of container 'main': job 7: no folder can be made"),
    ],
)
async def test_what_stayed_on_a_node_is_no_reason_where_nothing_ever_ran(failure: str, sentence: str) -> None:
    entries = Entries()
    entry = entries.add(POD)
    if failure:
        entry.fail(failure)
    else:
        entry.settle()
    with pytest.raises(Rejected, match=f"^{sentence}$"):
        await anext(Logs(FakeSite(), entries).read(LogSlice(POD, "main")))  # type: ignore[arg-type]


class FakeNode:
    """A site that has the log on a node, which cannot be reached."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def open_log(self, what: LogSlice, *, over: bool, at: object = None) -> NoLog:
        assert (what.pod, over) == (POD, False)
        if at:
            raise RemoteFailed("srun: error: Unable to create step")
        return NoLog(self._reason)


@pytest.mark.parametrize("reason", ["waiting", "noprevious"])
async def test_a_log_that_cannot_be_reached_on_its_node_is_not_said_to_be_none(reason: str) -> None:
    entries = Entries()
    entry = entries.add(POD)
    entry.see(Job("7", JobState.RUNNING, pod=POD, comment="at=/tmp/a;|"))
    with pytest.raises(RemoteFailed, match="Unable to create step"):
        await anext(Logs(FakeNode(reason), entries).read(LogSlice(POD, "main")))  # type: ignore[arg-type]
