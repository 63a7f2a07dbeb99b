"""Commands of clients in containers of running pods.

A client names a pod and a container. The job is the pod's own, which squeue is asked for each command: ids are reused.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

from remote_slurm.config import Config
from remote_slurm.domain.exec_request import ExecRequest, is_ended, refusal_sentence
from remote_slurm.domain.records import ContainerPhase
from remote_slurm.errors import Forbidden, InvalidRequest, NotSent, PodNotRunning
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.pod_finder import FoundPod, InUse, PodFinder
from remote_slurm.site.operations.exec import ExecRefused
from remote_slurm.site.operations.list import Listed
from remote_slurm.site.site import ExecSession

# Each is a session at the login node, and a step in Slurm
_MOST = 64


@dataclass(eq=False, slots=True, kw_only=True)
class Command(InUse):
    """A command that runs."""

    request: ExecRequest
    session: ExecSession

    def close(self) -> None:
        self.session.close()


class Execs:
    """All commands of clients. Lives in one event loop."""

    def __init__(self, accounts: Accounts, config: Config) -> None:
        self._enabled = config.enable_exec
        self._finder = PodFinder(accounts)
        self._running: set[Command] = set()
        self._starting = 0

    async def find(self, namespace: str, pod: str) -> FoundPod:
        """See `PodFinder.find`. Raises Forbidden if EnableExec is false."""
        if not self._enabled:
            raise Forbidden("commands cannot be run in pods: EnableExec is false", rule="EnableExec")
        return await self._finder.find(namespace, pod)

    def stop(self) -> None:
        """End all commands."""
        for command in list(self._running):
            command.end("the sidecar is stopping")

    @contextlib.asynccontextmanager
    async def running(self, pod: FoundPod, request: ExecRequest) -> AsyncIterator[Command]:
        """The command, for as long as the context lasts. Without a container, it runs in the pod's first one.

        Raises InvalidRequest, PodNotRunning, and SiteError.
        """
        request.shell_words()
        with self._counted():
            request = replace(request, container=await _container(pod, request.container))
            command = await _start(pod, request)
        self._running.add(command)
        try:
            yield command
        finally:
            self._running.discard(command)
            command.close()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        if len(self._running) + self._starting >= _MOST:
            raise NotSent(f"{_MOST} commands run already: try again when another one has ended")
        self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1


async def _start(pod: FoundPod, request: ExecRequest) -> Command:
    tracked, site = pod.tracked, pod.pods.site
    job_id = pod.known_job().id
    pod.check_runs(await site.job(job_id))
    if site.reports_in_comment and tracked.on_node is None:
        raise pod.pending("its job has not reported its folder on the node yet")
    try:
        session = await site.exec(tracked.key, job_id, request, tracked.on_node)
    except ExecRefused as error:
        sentence = refusal_sentence(error.refusal, request.container, pod.name)
        raise PodNotRunning(sentence, ended=is_ended(error.refusal)) from error
    return Command(pod=pod, request=request, session=session)


async def _container(pod: FoundPod, name: str) -> str:
    """The container of this name, or the first one. Raises InvalidRequest if the pod has no such container."""
    known = (*pod.tracked.container_names, *pod.tracked.records)
    if name in known or (not name and len(set(known)) == 1):
        return name or known[0]
    # native sidecars are known to the site only
    listed = next((each for each in await pod.pods.site.list_pods() if each.pod == pod.key), None)
    names = _names(listed) or tuple(dict.fromkeys(known))
    if name and name not in names:
        raise InvalidRequest(f"container {name} is not valid for pod {pod.name}: it has {', '.join(names) or 'none'}")
    if not names:
        raise InvalidRequest(f"the containers of pod {pod.name} are not known: name one")
    return name or next((each for each in names if not _has_ended(pod, each)), names[0])


def _has_ended(pod: FoundPod, container: str) -> bool:
    record = pod.tracked.records.get(container)
    return record is not None and record.phase is ContainerPhase.TERMINATED


def _names(listed: Listed | None) -> tuple[str, ...]:
    return (*listed.containers, *listed.init_containers) if listed else ()
