"""Connections to ports of running pods.

A client names a pod and a port. The node is that of the pod's job: squeue, or a step of the job, confirms it for each
connection, so that only the pod's own job is reached, on the node where it runs now. A connection ends with the job, or
when it is requeued.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from remote_slurm.config import PortForward
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase
from remote_slurm.errors import Forbidden, NotSent, RemoteFailed
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.background_tasks import BackgroundTasks
from remote_slurm.service.job_lookups import JobLookups
from remote_slurm.service.pod_finder import FoundPod, InUse, PodFinder
from remote_slurm.service.port_ways import PortWays, Target
from remote_slurm.site.site import PortStream

# How often it is looked whether the jobs of forwarded connections still run
_LOOK_SECONDS = 1.0
# squeue prints the name of the batch host, which goes to the login node as it is
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


class TooManyConnections(NotSent):
    """MaxConnections or MaxConnectionsPerPod is reached."""


@dataclass(eq=False, slots=True, kw_only=True)
class Connection(InUse):
    """A connection to a port of a pod."""

    port: int
    node: str
    stream: PortStream
    run: int

    def close(self) -> None:
        self.stream.close()

    def look(self) -> None:
        """End it if the pod's job no longer runs, or runs for another time."""
        tracked = self.pod.tracked
        job = tracked.job
        if self.pod.pods.pod_store.get(tracked.key) is not tracked or tracked.is_over:
            self.end(f"pod {self.pod.name} has ended")
        elif (
            tracked.is_listed and job is not None and (job.state.phase is not JobPhase.RUNNING or job.node != self.node)
        ):
            self.end(f"the job of pod {self.pod.name} no longer runs on {self.node}")
        elif tracked.run != self.run:
            self.end(f"the job of pod {self.pod.name} was requeued")


class PortForwards:
    """All forwarded connections of a sidecar. Lives in one event loop."""

    def __init__(self, accounts: Accounts, settings: PortForward) -> None:
        self.pods = PodFinder(accounts)
        self._settings = settings
        self._open: set[Connection] = set()
        self._opening: dict[str, int] = {}
        self._ways = {pods: PortWays(pods.site, settings.via) for pods in accounts}
        self._lookups = {pods: JobLookups(pods.site) for pods in accounts}
        self._dropped: set[asyncio.Future[PortStream]] = set()
        self._tasks = BackgroundTasks()

    def start(self) -> None:
        """Start to look after the connections."""
        self._tasks.keep_running("port forwards", self._look)

    async def stop(self) -> None:
        """End all connections: clients connect again, to the next sidecar."""
        await self._tasks.stop()
        for connection in self._open:
            connection.end("the sidecar is stopping")

    @contextlib.asynccontextmanager
    async def connected(self, pod: FoundPod, port: int) -> AsyncIterator[Connection]:
        """A connection to the port, for as long as the context lasts.

        Raises Forbidden for a port that AllowedPorts excludes, TooManyConnections, PodNotRunning, and SiteError, such
        as PortUnreachable.
        """
        if not self._settings.allows(port):
            allowed = ", ".join(self._settings.allowed_ports)
            raise Forbidden(
                f"port {port} cannot be reached: PortForward.AllowedPorts is {allowed}", rule="AllowedPorts"
            )
        with self._counted(pod.key):
            connection = await self._connect(pod, port)
        self._open.add(connection)
        try:
            yield connection
        finally:
            self._open.discard(connection)
            connection.close()

    @contextlib.contextmanager
    def _counted(self, key: str) -> Iterator[None]:
        to_pod = sum(each.pod.key == key for each in self._open) + self._opening.get(key, 0)
        in_all = len(self._open) + sum(self._opening.values())
        for count, most, name, what in (
            (to_pod, self._settings.max_connections_per_pod, "MaxConnectionsPerPod", "to this pod"),
            (in_all, self._settings.max_connections, "MaxConnections", "in all"),
        ):
            if count >= most:
                raise TooManyConnections(f"{count} connections {what} are forwarded, which is PortForward.{name}")
        self._opening[key] = self._opening.get(key, 0) + 1
        try:
            yield
        finally:
            self._opening[key] -= 1
            if not self._opening[key]:
                del self._opening[key]

    async def _connect(self, pod: FoundPod, port: int) -> Connection:
        """Ask squeue for the node, and connect to the node known so far meanwhile: that saves a round trip.

        Nothing is sent there before squeue has confirmed the node: the client's bytes wait. A step of the job that runs
        already confirms it, too.
        """
        tracked, ways = pod.tracked, self._ways[pod.pods]
        known = pod.known_job()
        if stream := await ways.open_in_step(Target(known.id, known.node, port)):
            return Connection(pod=pod, port=port, node=known.node, stream=stream, run=tracked.run)
        lookup = self._lookups[pod.pods].ask(known.id)  # first: it takes longer
        is_known = known.state.phase is JobPhase.RUNNING and _NODE.fullmatch(known.node)
        guess = ways.guess(Target(known.id, known.node, port)) if is_known else None
        try:
            node = _node_of(pod, pod.check_runs(await asyncio.shield(lookup)))
        except BaseException:
            self._drop(guess)
            raise
        if guess is not None and node != known.node:
            self._drop(guess)
            guess = None
        stream = await ways.open(Target(known.id, node, port), guess)
        return Connection(pod=pod, port=port, node=node, stream=stream, run=tracked.run)

    def _drop(self, guess: asyncio.Future[PortStream] | None) -> None:
        """Close what is opened for nothing, once it is open. Never waits."""
        if guess is not None:
            self._dropped.add(guess)
            guess.add_done_callback(self._close)

    def _close(self, opened: asyncio.Future[PortStream]) -> None:
        self._dropped.discard(opened)
        if not opened.cancelled() and opened.exception() is None:
            opened.result().close()

    async def _look(self) -> None:
        while True:
            for connection in list(self._open):
                connection.look()
            await asyncio.sleep(_LOOK_SECONDS)


def _node_of(pod: FoundPod, job: Job) -> str:
    """The node of the running job."""
    if not _NODE.fullmatch(job.node):
        raise RemoteFailed(f"squeue does not show the node of job {job.id} of pod {pod.name}")
    return job.node
