"""A site that is well and has nothing to say, for tests of what stands in front of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from remote_slurm.domain.logs import LogSlice
from remote_slurm.domain.partitions import Partition
from remote_slurm.domain.payload import Payload
from remote_slurm.domain.records import Record
from remote_slurm.domain.slurm import Capacity, Job
from remote_slurm.errors import SiteError
from remote_slurm.remote.answer import Answer
from remote_slurm.remote.connection import ConnectionState
from remote_slurm.remote.convoy import Submission, Submitted
from remote_slurm.remote.observer import Observer
from remote_slurm.remote.session import Line
from remote_slurm.remote.site import NoLog, Place, Queue, Recovery, Settled

CONNECTION = ConnectionState(connected=True, host="login1", since=0, last_error="", retry_in=0, connects=2, failures=1)
LINE = Line(CONNECTION, round_trip=0.05, sessions_in_use=1, sessions_limit=8)


@dataclass
class FakeSite:
    """Answers with what the test has put there, or with `error`."""

    jobs: list[Job] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    fresh: list[Record] = field(default_factory=list)
    error: SiteError | None = None
    submission: Submission | None = None
    listed: str = ">root /r\n>listed 1000\n"
    asked: list[str] = field(default_factory=list)
    observer: Observer = field(default_factory=Observer)
    line: Line = LINE
    shared_fs: bool = True
    grace: dict[str, int] = field(default_factory=dict)

    async def recover(self) -> Recovery:
        self._answer()
        return Recovery(frozenset(self.known), self.known, frozenset(), frozenset(), ())

    async def submit(self, pod: str, payload: Payload) -> Submission:
        self.asked.append("submit")
        self._answer()
        assert pod
        assert payload
        return self.submission or Submitted(str(700 + len(self.jobs)))

    async def withdraw(self, pod: str, *, keep_folder: bool) -> None:
        assert pod
        assert not keep_folder

    async def queue(self) -> Queue:
        self._answer()
        return Queue(tuple(self.jobs), 0.0)

    async def records(self) -> list[Record]:
        self._answer()
        fresh, self.fresh = self.fresh, []
        return fresh

    async def settle(self, pods: Iterable[str]) -> Settled:
        assert list(pods)
        return Settled((), frozenset())

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        assert list(job_ids)
        return []

    async def cancel(self, pods: Mapping[str, bool], grace: Mapping[str, int]) -> dict[str, bool]:
        self._answer()
        self.grace.update(grace)
        return dict.fromkeys(pods, True)

    async def partitions(self) -> list[Partition]:
        self.asked.append("partitions")
        self._answer()
        return [Partition("main", is_default=True, is_up=True, cpus=8, free=3, nodes=1, time_limit="1:00", gres="")]

    async def look(self, name: str, *, seconds: float) -> Answer:
        assert seconds
        self.asked.append(name)
        self._answer()
        return Answer.parse(name, self.listed)

    async def open_log(self, what: LogSlice, *, over: bool, at: Place | None = None) -> NoLog:
        assert what.pod
        assert at is None
        assert over in (True, False)
        self._answer()
        return NoLog("nofolder")

    async def capacity(self) -> Capacity:
        self._answer()
        return Capacity(nodes=1, cpus=8, memory_mib=1000)

    def _answer(self) -> None:
        if self.error:
            raise self.error
