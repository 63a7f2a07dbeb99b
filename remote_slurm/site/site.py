"""What the service asks of one account at one site."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from remote_slurm.domain.exec_request import ExecRequest, TerminalSize
from remote_slurm.domain.plan.payload import Payload
from remote_slurm.domain.records import Record
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.partitions import Partition
from remote_slurm.domain.slurm.sinfo import Capacity
from remote_slurm.domain.status.job_comment import NodeFolder
from remote_slurm.domain.status.log_slice import LogSlice
from remote_slurm.domain.submit_outcome import SubmitOutcome
from remote_slurm.site.operations.abandon import Abandoned
from remote_slurm.site.operations.delete import DeleteResult
from remote_slurm.site.operations.describe import PodFolder
from remote_slurm.site.operations.inspect_pods import Inspection
from remote_slurm.site.operations.list import Listed
from remote_slurm.site.operations.log import NoLog, OpenLog
from remote_slurm.site.operations.queue import Queue
from remote_slurm.site.operations.records import OtherSidecars
from remote_slurm.site.operations.recover import Recovery
from remote_slurm.site.operations.release import Released, ReleaseDecision
from remote_slurm.site.operations.sinfo import SinfoOutput
from remote_slurm.ssh.observer import Observer
from remote_slurm.ssh.sessions import ConnectionStatus


class PortStream(Protocol):
    """A connection to a port of a compute node. `read` and `write` raise OutcomeUnknown if it is lost."""

    async def read(self) -> bytes:
        """The next bytes; empty once the port has sent its last."""

    async def write(self, data: bytes) -> None:
        """Send all of it; waits while the port takes nothing."""

    async def write_eof(self) -> None:
        """Tell the port that nothing more comes; it may still send."""

    async def wait_closed(self) -> None:
        """Return once the port has closed both directions, or `close` was called; for after its last byte was read."""

    def close(self) -> None:
        """End both directions. Never waits."""


@dataclass(frozen=True, slots=True)
class StepListener:
    """The program of a step that forwards connections, and a port that it listens on; None if it cannot."""

    program: str
    port: int | None


class ExecSession(Protocol):
    """A command that runs in a container. What waits raises OutcomeUnknown if the connection is lost."""

    @property
    def exit_code(self) -> int | None:
        """The exit code, after the last of the output was read; None if something else has ended the command."""

    async def read_output(self) -> bytes:
        """The next bytes of standard output, or of the terminal; empty after the last."""

    async def read_error(self) -> bytes:
        """The next bytes of standard error; empty after the last, and if there is a terminal."""

    async def write_input(self, data: bytes) -> None:
        """Send all of it; waits while the command takes nothing."""

    async def end_input(self) -> None:
        """Nothing more comes on standard input."""

    def resize(self, size: TerminalSize) -> None:
        """Change the size of the terminal. Never waits."""

    def close(self) -> None:
        """End the command if it runs. Never waits."""


OWN_GRACE: Mapping[str, int] = MappingProxyType({})


class Site(Protocol):
    """One account at one site. Each operation is one round trip, and raises SiteError if it fails or is too late.

    `RemoteSite` implements it over SSH. A pod is the name of its folder. The `observer` is notified of operations.
    `reports_in_comment`: whether records come in the comments of jobs (SHARED_FS: false). `other_sidecars` is what the
    latest `records`, `recover` or `survey` noticed.
    """

    observer: Observer
    reports_in_comment: bool
    other_sidecars: OtherSidecars

    @property
    def connection_status(self) -> ConnectionStatus:
        """The state of the connection. Never waits."""

    async def submit(self, pod: str, payload: Payload) -> SubmitOutcome:
        """Submit the pod's job, or return the outcome of an earlier submission. Can be called again at any time.

        An empty payload asks only.
        """

    async def withdraw(self, pod: str, *, keep_folder: bool) -> None:
        """Undo the attempt after sbatch has certainly failed, so that the pod can be submitted again."""

    async def abandon(self, pod: str) -> Abandoned:
        """Take the pod's fence, or that of its array, so that no job of unknown outcome will start anything."""

    async def close_fences(self, pods: Iterable[str]) -> frozenset[str]:
        """Take the fences of pods, so that no job of theirs will start anything.

        Returns those without a job in the fence.
        """

    async def release(self, jobs: Iterable[tuple[str, str, ReleaseDecision]]) -> Released:
        """Release the held jobs of (pod, job id, decision) that are in the pods' fences. Cancel the others.

        A job of a pod that is not wanted is not released.
        """

    async def fetch(self, pod: str, node: NodeFolder) -> bool:
        """Copy the logs and records of an ended pod from its node. Raises RemoteFailed if the node does not send them.

        Returns False if the pod has no folder: it is being deleted, or this login node does not see it yet.
        """

    async def delete(self, pods: Mapping[str, bool], grace: Mapping[str, int] = OWN_GRACE) -> DeleteResult:
        """Delete the pods as far as it is possible now: pod -> whether its job is killed at once.

        `grace` has the grace periods that differ from the one that the pod's runner knows, in seconds.
        """

    async def queue(self) -> Queue:
        """All jobs of the account, by one squeue. Raises SlurmFailed if squeue fails: that is not an empty queue."""

    async def job(self, job_id: str) -> Job | None:
        """The job as squeue lists it now, of any user. Raises SlurmFailed if squeue fails."""

    async def open_port(self, node: str, port: int) -> PortStream:
        """Connect to the port from the login node. Raises PortUnreachable."""

    async def open_port_in_job(self, job_id: str, node: str, port: int) -> PortStream:
        """Connect to the port from the job's node, through a step of the job. Raises PortUnreachable."""

    async def open_port_in_step(self, job_id: str, node: str, port: int) -> PortStream | None:
        """Connect as `open_port_in_job`, through a step that runs already; None if there is none.

        Slurm ends a step with its job: a reply shows that the job runs.
        """

    async def listen_in_job(self, job_id: str, node: str) -> StepListener:
        """What a step of the job listens on for a while, to try ways to it. Raises PortUnreachable."""

    def has_step_in(self, job_id: str) -> bool:
        """Whether `open_port_in_job` needs to start no step. Never waits."""

    async def exec(self, pod: str, job_id: str, request: ExecRequest, node: NodeFolder | None = None) -> ExecSession:
        """Run a command in a container of the job, which runs. `node` is where the folder is, if none is shared.

        Raises ExecRefused if the container does not run.
        """

    async def outputs(self, job_ids: Iterable[str]) -> dict[str, str]:
        """The output files of queued jobs by job id."""

    async def records(self, ended: Iterable[str] = (), *, early: bool = False) -> list[Record]:
        """The records that runners wrote since the last call that succeeded.

        The owner of DataRootFolder removes the secrets of the `ended` pods. Unless the call is `early`, in addition to
        one per interval, it also shows older sidecars that it is alive.
        """

    async def inspect_pods(self, pods: Iterable[str]) -> Inspection:
        """The records and fences of `pods`."""

    async def accounting(self, job_ids: Iterable[str]) -> list[Job]:
        """All jobs in the accounting that ever had these ids. Raises SlurmFailed if sacct fails."""

    async def recover(self) -> Recovery:
        """Everything that the site remembers. The owner takes DataRootFolder over."""

    async def survey(self) -> Recovery:
        """Everything that the site remembers. Takes nothing over."""

    async def tend_libraries(self) -> None:
        """Keep the scripts that pods share from purges, if they are needed, and remove others. Once a day is enough."""

    async def try_store(self) -> None:
        """Write as much as a pod needs into DataRootFolder, and remove it. Raises RemoteFailed if that fails."""

    async def capacity(self) -> Capacity:
        """The sum over the nodes that the account may use."""

    async def partitions(self) -> list[Partition]:
        """The partitions that the account may use, with their free CPUs."""

    async def list_pods(self) -> list[Listed]:
        """All pods that have a folder, for people."""

    async def describe(self, pod: str) -> PodFolder | None:
        """What the pod's folder has for people; None if the pod has none."""

    async def open_log(self, what: LogSlice, *, over: bool, at: NodeFolder | None = None) -> OpenLog | NoLog:
        """Open a container's log. `over`: nothing of the pod starts any more, so that Slurm's output is its log.

        `at` is where the log is, if it is on a node that shares no file system.
        """

    async def resources(self) -> str:
        """The output of ResourceScriptPath. Raises RemoteFailed if the script fails."""

    async def sinfo(self) -> SinfoOutput:
        """The partitions as sinfo prints them for people."""
