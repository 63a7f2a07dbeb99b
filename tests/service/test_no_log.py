"""Why there is no log, in one sentence."""

import pytest

from remote_slurm.domain.logs import LogSlice
from remote_slurm.errors import Rejected
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
