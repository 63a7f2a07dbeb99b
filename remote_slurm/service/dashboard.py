"""All pods of one account, for people: `/ui` and `top` see `view`, `status` sees `list_pods`.

Both are made of each pod's `PodSummary`. `view` answers from memory. What memory lacks (partitions, and the names of
pods that an earlier process submitted) is asked for in the background, seldom, and only while clients ask for it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.records import ContainerPhase
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.slurm.partitions import Partition
from remote_slurm.domain.slurm.pending_reasons import reason_meaning
from remote_slurm.domain.status.pod_summary import ContainerSummary, PodPhase, PodSummary
from remote_slurm.domain.status.pod_usage import pod_usage
from remote_slurm.domain.status.view import PodView
from remote_slurm.errors import SiteError
from remote_slurm.log import debug
from remote_slurm.service.orphans import SUSPICIOUS_SECONDS, Orphans
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import Poller
from remote_slurm.service.storage import Storage
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.cooperative import unhurried
from remote_slurm.site.operations.list import Listed
from remote_slurm.site.site import Site

# A page with ten thousand rows is of no use: the most urgent pods come first, then the youngest
MOST_PODS = 500
ASK_SECONDS = 30.0
# One view serves all clients for so long
SHARED_SECONDS = 0.5
# The first view waits for what memory lacks, as long as a person would
FIRST_VIEW_SECONDS = 3.0
# Longer than the deadline of squeue, 75 s

_URGENCY = {
    phase: number
    for number, phase in enumerate(
        (
            PodPhase.FAILED,
            PodPhase.WAITING,
            PodPhase.RUNNING,
            PodPhase.ENDING,
            PodPhase.UNKNOWN,
            PodPhase.SUCCEEDED,
        )
    )
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DashboardSources:
    """The components whose state the dashboard shows."""

    pod_store: PodStore
    poller: Poller
    orphans: Orphans
    storage: Storage


class Dashboard:
    """Reads the state of its sources; changes nothing."""

    def __init__(self, site: Site, sources: DashboardSources, config: Config) -> None:
        self._site = site
        self._pod_store = sources.pod_store
        self._poller = sources.poller
        self._orphans = sources.orphans
        self._storage = sources.storage
        self._config = config
        self._partitions = _BackgroundQuery(self._ask_partitions)
        self._names = _BackgroundQuery(self._ask_names)
        self._listed: dict[str, Listed] = {}
        self._since: dict[str, float] = {}
        self._known_partitions: list[Partition] | None = None
        self._view: Json = {}
        self._view_until = 0.0

    async def stop(self) -> None:
        """End the background queries."""
        await self._partitions.stop()
        await self._names.stop()

    async def view(self) -> Json:
        """JSON: the site, its partitions, the number of pods in each phase, and the most urgent pods. Never fails."""
        await self._ask_what_is_missing()
        if time.monotonic() >= self._view_until:
            self._view = await self._refresh()
            self._view_until = time.monotonic() + SHARED_SECONDS
        return self._view

    async def list_pods(self, *, remembered: bool = False) -> Json:
        """JSON: every pod that has a folder at the site, also if another sidecar submitted it. Raises SiteError.

        With `remembered`, the pods that this sidecar knows are listed during an outage; `unreachable` says so. If the
        site replies, and the poll fails, `pollFailure` says so: states of jobs are from before.
        """
        if remembered and is_unreachable(self._poller) and self._poller.last_success is not None:
            pods = [self._remembered(tracked) for tracked in self._pod_store]
            unreachable = unreachable_json(self._poller, self._poller.error)
            return {"site": self._config.site_address, "pods": pods, "unreachable": unreachable}
        listed = await self._site.list_pods()
        await self._poller.first_poll()
        jobs = _by_pod(self._poller.jobs)
        unasked = self._orphans.found()
        pods = [
            listed_pod(each, self._pod_store.get(each.pod), jobs.get(each.pod, []))
            | {"unaskedSeconds": int(unasked.get(each.pod, 0))}
            for each in listed
        ]
        failure = {"pollFailure": self._poll_failure_json()} if self._poller.error else {}
        return {"site": self._config.site_address, "pods": pods, **failure}

    def _poll_failure_json(self) -> Json:
        return {"since": time.time() - self._poller.age, "error": self._poller.error}

    def _remembered(self, tracked: TrackedPod) -> Json:
        """The pod as `list_pods` lists it, without what only its folder has."""
        known = self._listed.get(tracked.key)
        age = int(time.time() - self._began(tracked))
        empty = Listed(tracked.key, tracked.name, 0, (), (), tracked.job_id, age, ())
        row = listed_pod(replace(known or empty, age=age), tracked, [])
        missing = () if known else ("labels", "graceSeconds")
        return {key: value for key, value in row.items() if key not in missing} | {"unaskedSeconds": 0}

    def shows(self, pod: str, container: str) -> bool:
        """Whether `view` shows such a container."""
        tracked = self._pod_store.get(pod)
        return tracked is not None and container in self._names_of(tracked, tracked.view())

    async def _refresh(self) -> Json:
        summaries = [(tracked, self._summary(tracked)) async for tracked in unhurried(self._pod_store)]
        phases = {tracked.key: summary.phase async for tracked, summary in unhurried(summaries)}
        urgent = sorted(
            summaries, key=lambda each: (_URGENCY[phases[each[0].key]], -self._began(each[0]), each[0].name)
        )
        return {
            "site": self._site_json(),
            "forward": self._forward_json(),
            "exec": self._exec_json(),
            "partitions": self._partitions_json(),
            "counts": {str(phase): count for phase, count in Counter(phases.values()).items()},
            "waiting": waiting_json(Counter([summary.waiting_label async for _, summary in unhurried(summaries)])),
            "pods": [self._row(tracked, summary) for tracked, summary in urgent[:MOST_PODS]],
        }

    async def _ask_what_is_missing(self) -> None:
        if self._poller.error:
            return
        nameless = any(_is_unnamed(tracked) and tracked.key not in self._listed for tracked in self._pod_store)
        queries = [self._partitions.refresh(), self._names.refresh() if nameless else None]
        unanswered = [task for task in queries if task is not None]
        if unanswered:
            await asyncio.wait(unanswered, timeout=FIRST_VIEW_SECONDS)

    def _forward_json(self) -> Json | None:
        """Where `remote-slurm port-forward` connects to; None if the configuration opens no such port."""
        settings = self._config.port_forward
        if not settings.port:
            return None
        return {"scheme": "https" if settings.tls.enabled else "http", "port": settings.port}

    def _exec_json(self) -> Json | None:
        """Where `remote-slurm exec` connects to; None if it cannot, or not over a known TCP port."""
        config = self._config
        if not config.enable_exec or config.socket or not config.sidecar_port:
            return None
        return {"scheme": "https" if config.tls.enabled else "http", "port": config.sidecar_port}

    def _site_json(self) -> Json:
        status, poller = self._site.connection_status, self._poller
        return {
            "address": self._config.site_address,
            "reachable": not poller.error,
            "error": poller.error,
            "polled": poller.has_polled,
            "connected": status.state.connected,
            "host": status.state.host,
            "cause": str(status.state.cause) or poller.cause,
            "retryInSeconds": round(status.state.retry_in, 1),
            "retryFile": status.state.retry_file,
            "storageError": self._storage.error,
            "storageRetryInSeconds": round(self._storage.retry_in, 1),
            "roundTripSeconds": status.round_trip,
            "lastPollSeconds": None if poller.last_success is None else round(poller.age, 1),
            "pollIntervalSeconds": poller.current_interval,
            "squeueSeconds": poller.pace.squeue_seconds,
            "squeueIsSlow": poller.pace.is_slow,
            "sessionsInUse": status.sessions_in_use,
            "sessionsLimit": status.sessions_limit,
        }

    def _partitions_json(self) -> list[Json] | None:
        """None if they are not known yet."""
        if self._known_partitions is None:
            return None
        return [
            {
                "name": each.name,
                "default": each.is_default,
                "up": each.is_up,
                "cpus": each.cpus,
                "free": each.free,
                "nodes": each.nodes,
                "unusableNodes": dict(each.unusable),
                "timeLimit": each.time_limit,
                "gres": each.gres,
            }
            for each in self._known_partitions
        ]

    def _summary(self, tracked: TrackedPod) -> PodSummary:
        return PodSummary(_described(tracked.view(), self._listed.get(tracked.key)))

    def _began(self, tracked: TrackedPod) -> float:
        return self._since.get(tracked.key, tracked.since)

    def _row(self, tracked: TrackedPod, summary: PodSummary) -> Json:
        unasked = self._orphans.unasked_seconds(tracked)
        listed, job = self._listed.get(tracked.key), tracked.job
        names = self._names_of(tracked, summary.view)
        return {
            "pod": tracked.key,
            "name": listed.name if listed and _is_unnamed(tracked) else tracked.name,
            "jobId": tracked.job_id,
            "state": summary.state,
            "phase": summary.phase,
            "reason": summary.reason,
            "node": summary.node,
            "ports": list(summary.view.ports),
            "startsAt": job.start if job and job.state.phase is JobPhase.WAITING else None,
            "ageSeconds": max(0, int(time.time() - self._began(tracked))),
            "unaskedSeconds": int(unasked) if unasked >= SUSPICIOUS_SECONDS else None,
            "usage": pod_usage(summary.view).json(),
            "containers": [container_json(summary.container(name)) for name in names],
        }

    def _names_of(self, tracked: TrackedPod, view: PodView) -> tuple[str, ...]:
        """The containers in the pod's order, native sidecars too if the site has listed them."""
        listed = self._listed.get(tracked.key)
        if listed is not None and listed.containers:  # a packed script lists none
            return (*listed.init_containers, *listed.containers)
        return (*view.names, *(name for name in view.records if name not in view.names))

    async def _ask_partitions(self) -> None:
        self._known_partitions = await self._site.partitions()

    async def _ask_names(self) -> None:
        listed, now = await self._site.list_pods(), time.time()
        self._listed = {each.pod: each for each in listed}
        self._since = {each.pod: now - each.age for each in listed if each.age is not None}


def most_urgent(rows: Iterable[Json]) -> list[Json]:
    """The rows of several views in one order, at most as many as one view has."""
    return sorted(rows, key=lambda row: (_URGENCY[row["phase"]], row["ageSeconds"], row["name"]))[:MOST_PODS]


def is_unreachable(poller: Poller) -> bool:
    """Whether the site did not reply to the last poll. A failed command is a reply."""
    return bool(poller.error) and not poller.cause


def unreachable_json(poller: Poller, error: str) -> Json:
    """Since when the site has not been reached, in seconds since 1970, and why. None if the last poll reached it."""
    is_known = is_unreachable(poller) and poller.last_success is not None
    since = time.time() - poller.age if is_known else None
    return {"since": since, "error": error}


def waiting_json(reasons: Counter[str]) -> list[Json]:
    """Why pods wait: the number of pods for each reason, the most frequent first."""
    return [
        {"reason": reason, "meaning": reason_meaning(reason), "pods": count}
        for reason, count in reasons.most_common()
        if reason
    ]


def listed_pod(listed: Listed, tracked: TrackedPod | None, jobs: list[Job]) -> Json:
    """JSON of one pod that has a folder. `jobs` are those of the last squeue that have the pod's script."""
    view = _view_of(listed, tracked, jobs)
    summary = PodSummary(view)
    # the containers are listed nowhere if the script is packed
    containers = listed.containers or tuple(name for name in view.names if name not in listed.init_containers)
    return {
        "pod": listed.pod,
        "name": listed.name,
        "jobId": view.job_id or listed.job_id,
        "labels": dict(listed.labels),
        "state": summary.state,
        "phase": summary.phase,
        "reason": summary.reason,
        "node": summary.node,
        "ports": list(view.ports),
        "ageSeconds": listed.age,
        "graceSeconds": listed.grace_seconds,
        "usage": pod_usage(view).json(),
        "initContainers": [container_json(summary.container(name)) for name in listed.init_containers],
        "containers": [container_json(summary.container(name)) for name in containers],
    }


def _view_of(listed: Listed, tracked: TrackedPod | None, jobs: list[Job]) -> PodView:
    """What this sidecar knows of the pod, else what its folder and squeue show of another sidecar's pod."""
    if tracked is not None:
        return _described(tracked.view(), listed)
    records = {record.container: record for record in listed.records}
    recorded = [job for job in jobs if job.id == listed.job_id]
    alive = [job for job in jobs if job.state.phase is not JobPhase.ENDED]
    job = next(iter([*recorded, *alive, *jobs]), None)
    if job is None and listed.job_id:
        job = Job(listed.job_id, JobState.UNKNOWN, pod=listed.pod)
    return _described(PodView(job, records), listed)


def _described(view: PodView, listed: Listed | None) -> PodView:
    """The view with the containers that the site has listed, if no request has described the pod."""
    if listed is None or not listed.containers or view.container_names:
        return view
    return replace(view, container_names=(*listed.init_containers, *listed.containers))


def _by_pod(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """Usually one job for each pod; the fence ends the others."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.pod, []).append(job)
    return groups


def container_json(container: ContainerSummary) -> Json:
    """The state of one container; times in seconds since 1970."""
    state: Json = {"name": container.name, "state": container.phase.value}
    if container.started:
        state["startedAt"] = container.started
    if container.restarts:
        state["restarts"] = container.restarts
    if container.phase is ContainerPhase.WAITING:
        state |= {"reason": container.reason, "message": container.message}
    if container.phase is ContainerPhase.TERMINATED:
        state |= {"exitCode": container.exit_code, "finishedAt": container.finished, "message": container.message}
    return state


def _is_unnamed(tracked: TrackedPod) -> bool:
    return tracked.name in {"", tracked.key}


class _BackgroundQuery:
    """A query that runs in the background: at most once in ASK_SECONDS, and never twice at once."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._ask = ask
        self._task: asyncio.Task[None] | None = None
        self._next = 0.0
        self._answered = False

    def refresh(self) -> asyncio.Task[None] | None:
        """Start the query if it is due. Return its task as long as there has been no answer at all."""
        if time.monotonic() >= self._next and (self._task is None or self._task.done()):
            self._next = time.monotonic() + ASK_SECONDS
            self._task = asyncio.create_task(self._run())
        return None if self._answered else self._task

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._ask()
            self._answered = True
        except SiteError as error:
            debug("a query for the dashboard failed", reason=error)
