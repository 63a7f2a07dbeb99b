"""Connections to ports of running pods.

A client names a pod and a port. The node is that of the pod's job, asked of squeue for each connection, so that only
the pod's own job is reached, on the node where it runs now. A connection ends with the job, or when it is requeued.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field

from remote_slurm.config import PortForward
from remote_slurm.domain.pod.folder_name import join_key, namespace_of
from remote_slurm.domain.pod.shadow_name import is_shadow_of
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.slurm.pending_reasons import pending_sentence
from remote_slurm.errors import Forbidden, NotSent, PodNotFound, PodNotRunning, RemoteFailed
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.background_tasks import BackgroundTasks
from remote_slurm.service.job_lookups import JobLookups
from remote_slurm.service.pod_store import TrackedPod
from remote_slurm.service.pods import Pods
from remote_slurm.service.port_ways import Guess, PortWays, Target
from remote_slurm.site.site import PortStream

# How often it is looked whether the jobs of forwarded connections still run
_LOOK_SECONDS = 1.0
# How often the site is asked for the names of pods, at most
_NAMES_SECONDS = 5.0
# squeue prints the name of the batch host, which goes to the login node as it is
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


class TooManyConnections(NotSent):
    """MaxConnections or MaxConnectionsPerPod is reached."""


@dataclass(frozen=True, slots=True)
class FoundPod:
    """A pod, and the account that runs it."""

    pods: Pods
    tracked: TrackedPod

    @property
    def key(self) -> str:
        return self.tracked.key

    @property
    def name(self) -> str:
        """namespace/name."""
        return self.tracked.name

    @property
    def state(self) -> dict[str, str]:
        """The phase of the pod, its node if it has one, and a sentence."""
        summary = self.tracked.summary()
        return {"pod": self.name, "phase": summary.phase.value, "node": summary.node, "message": summary.reason}


@dataclass(eq=False, slots=True)
class Connection:
    """A connection to a port of a pod. `ended` is why it was ended from here; empty as long as it was not."""

    pod: FoundPod
    port: int
    node: str
    stream: PortStream
    run: int
    began: float = field(default_factory=time.monotonic)
    ended: str = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def end(self, why: str) -> None:
        """End it from here."""
        self.ended = self.ended or why
        self.stream.close()

    def look(self) -> None:
        """End it if the pod's job no longer runs, or runs for another time."""
        tracked = self.pod.tracked
        job = tracked.job
        if self.pod.pods.pod_store.get(tracked.key) is not tracked or tracked.is_over:
            self.end(f"pod {self.pod.name} has ended")
        elif tracked.shown and job is not None and (job.state.phase is not JobPhase.RUNNING or job.node != self.node):
            self.end(f"the job of pod {self.pod.name} no longer runs on {self.node}")
        elif tracked.run != self.run:
            self.end(f"the job of pod {self.pod.name} was requeued")


class PortForwards:
    """All forwarded connections of a sidecar. Lives in one event loop."""

    def __init__(self, accounts: Accounts, settings: PortForward) -> None:
        self._accounts = accounts
        self._settings = settings
        self._open: set[Connection] = set()
        self._opening: dict[str, int] = {}
        self._ways = {pods: PortWays(pods.site, settings.via) for pods in accounts}
        self._lookups = {pods: JobLookups(pods.site) for pods in accounts}
        self._dropped: set[asyncio.Future[PortStream]] = set()
        self._tasks = BackgroundTasks()
        self._naming = asyncio.Lock()
        self._named_until: dict[str, float] = {}

    def start(self) -> None:
        """Start to look after the connections."""
        self._tasks.keep_running("port forwards", self._look)

    async def stop(self) -> None:
        """End all connections: clients connect again, to the next sidecar."""
        await self._tasks.stop()
        for connection in self._open:
            connection.end("the sidecar is stopping")

    async def find(self, namespace: str, pod: str) -> FoundPod:
        """The pod with this name or UID. Raises PodNotFound, and SiteError if the pods are not known yet."""
        return await self._find(namespace, lambda tracked: _is_called(tracked, namespace, pod), f"{namespace}/{pod}")

    async def _find(self, namespace: str, is_wanted: Callable[[TrackedPod], bool], called: str) -> FoundPod:
        found = self._called(namespace, is_wanted)
        if not found and (unnamed := self._unnamed(namespace)):
            await self._name(unnamed)
            found = self._called(namespace, is_wanted)
        if not found and not all(each.recovered for each in self._accounts):
            raise NotSent("the pods at the site are not known yet: ask again in a moment")
        if not found:
            raise PodNotFound(f"there is no pod {called}")
        # a pod of a StatefulSet has the name of the one before it
        return max(found, key=lambda each: (not each.tracked.is_over, not each.tracked.deleted, each.tracked.since))

    async def _name(self, accounts: list[Pods]) -> None:
        """Read the names of pods that no request has named since the sidecar started; seldom, however many ask."""
        async with self._naming:
            for pods in accounts:
                if time.monotonic() < self._named_until.get(pods.user, 0.0):
                    continue
                for listed in await pods.site.list_pods():
                    if pods.pod_store.get(listed.pod) is not None:
                        pods.pod_store.add(listed.pod, listed.name)
                self._named_until[pods.user] = time.monotonic() + _NAMES_SECONDS

    async def find_shadowed(self, shadow: str, namespace: str, among: Collection[str]) -> FoundPod:
        """The one pod of the namespaces `among` whose shadow is this Deployment. Raises as `find`."""

        def is_wanted(tracked: TrackedPod) -> bool:
            return _is_shadowed(tracked, shadow, namespace)

        found = []
        for each in among:
            with contextlib.suppress(PodNotFound):
                found.append(await self._find(each, is_wanted, shadow))
        if not found:
            raise PodNotFound(f"no pod of the namespace {' or '.join(among)} has the shadow {namespace}/{shadow}")
        active = [each for name in among for each in self._called(name, is_wanted) if not each.tracked.is_over]
        if len(names := {each.name for each in active}) > 1:
            raise PodNotFound(
                f"{len(names)} pods have the shadow {namespace}/{shadow}: interLink has cut their names; use names "
                "that differ at their beginning, or interLink of July 2026 or later"
            )
        return found[0]

    def _called(self, namespace: str, is_wanted: Callable[[TrackedPod], bool]) -> list[FoundPod]:
        return [
            FoundPod(pods, tracked)
            for pods in self._accounts
            for tracked in pods.pod_store
            if namespace_of(tracked.key) == namespace and is_wanted(tracked)
        ]

    def _unnamed(self, namespace: str) -> list[Pods]:
        """Accounts with pods of the namespace whose names are not known."""
        return [
            pods
            for pods in self._accounts
            if any(each.name == each.key and namespace_of(each.key) == namespace for each in pods.pod_store)
        ]

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
            connection.stream.close()

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
        """Ask squeue for the node, and connect to the node known so far meanwhile: that saves a round trip."""
        tracked, ways = pod.tracked, self._ways[pod.pods]
        known = _known_job(pod)
        is_known = known.state.phase is JobPhase.RUNNING and _NODE.fullmatch(known.node)
        guess = ways.guess(Target(known.id, known.node, port)) if is_known else None
        try:
            node = _node_of(pod, await self._lookups[pod.pods].job(known.id))
        except BaseException:
            self._drop(guess)
            raise
        if guess is not None and node != known.node:
            self._drop(guess)
            guess = None
        stream = await ways.open(Target(known.id, node, port), guess)
        return Connection(pod, port, node, stream, tracked.run)

    def _drop(self, guess: Guess | None) -> None:
        """Close what is opened for nothing, once it is open. Never waits."""
        if guess is not None:
            self._dropped.add(guess.stream)
            guess.stream.add_done_callback(self._close)

    def _close(self, opened: asyncio.Future[PortStream]) -> None:
        self._dropped.discard(opened)
        if not opened.cancelled() and opened.exception() is None:
            opened.result().close()

    async def _look(self) -> None:
        while True:
            for connection in list(self._open):
                connection.look()
            await asyncio.sleep(_LOOK_SECONDS)


def _is_called(tracked: TrackedPod, namespace: str, pod: str) -> bool:
    if tracked.name == f"{namespace}/{pod}":
        return True
    try:
        return tracked.key == join_key(namespace, pod)
    except ValueError:
        return False


def _is_shadowed(tracked: TrackedPod, shadow: str, namespace: str) -> bool:
    pod_namespace, _, pod = tracked.name.partition("/")
    return bool(pod) and is_shadow_of(shadow, namespace, pod, pod_namespace)


def _known_job(pod: FoundPod) -> Job:
    """The pod's job as the last poll has shown it. Raises PodNotRunning if there is none, or none any more."""
    tracked = pod.tracked
    if tracked.is_over:
        raise _ended(pod)
    if tracked.job is None:
        raise _pending(pod, tracked.summary().reason)
    return tracked.job


def _node_of(pod: FoundPod, job: Job | None) -> str:
    """The node of the job that squeue lists. Raises PodNotRunning unless it is the pod's, and runs."""
    if job is None:
        raise PodNotRunning(f"squeue does not list the job of pod {pod.name}", ended=pod.tracked.is_over)
    if job.pod != pod.key and (job.pod or not pod.tracked.owns(job)):
        raise PodNotRunning(f"job {job.id} is not a job of pod {pod.name} any more", ended=True)
    if job.state.phase is JobPhase.ENDED or job.state is JobState.COMPLETING:
        raise _ended(pod)
    if job.state.phase is not JobPhase.RUNNING:
        raise _pending(pod, pending_sentence(job))
    if not _NODE.fullmatch(job.node):
        raise RemoteFailed(f"squeue names no node that job {job.id} of pod {pod.name} runs on")
    return job.node


def _ended(pod: FoundPod) -> PodNotRunning:
    return PodNotRunning(f"pod {pod.name} has ended", ended=True)


def _pending(pod: FoundPod, why: str) -> PodNotRunning:
    return PodNotRunning(f"pod {pod.name} is pending{f': {why}' if why else ''}", ended=False)
