"""The whole site at one look, for people who watch: `/ui` and `remote-slurm top`.

It is told from memory. What memory lacks (partitions, and the names of pods that an earlier process has submitted) is
asked for in the background while somebody watches, seldom, and however many they are.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.partitions import Partition
from remote_slurm.domain.records import Record
from remote_slurm.domain.slurm import Phase
from remote_slurm.errors import SiteError
from remote_slurm.events import detail
from remote_slurm.remote.listing import Listed, listing
from remote_slurm.remote.site import Site
from remote_slurm.service import census
from remote_slurm.service.entries import Entries, Entry
from remote_slurm.service.orphans import SUSPICIOUS_SECONDS, Orphans
from remote_slurm.service.overview import address, container_state
from remote_slurm.service.poller import Poller

# A page with ten thousand rows serves nobody: those that need somebody come first, then the youngest
MOST_PODS = 500
ASK_SECONDS = 30.0
# So long one answer serves all who look
SHARED_SECONDS = 0.5
# The first look waits for what is missing, and no longer than a person would
FIRST_LOOK_SECONDS = 3.0

_ORDER = {"failed": 0, "waiting": 1, "running": 2, "ending": 3, "unknown": 4, "succeeded": 5}


class Lookout:
    """`view` is what there is to see."""

    def __init__(self, site: Site, entries: Entries, poller: Poller, config: Config, orphans: Orphans) -> None:
        self._site = site
        self._entries = entries
        self._poller = poller
        self._config = config
        self._orphans = orphans
        self._partitions = _Asked(self._ask_partitions)
        self._names = _Asked(self._ask_names)
        self._listed: dict[str, Listed] = {}
        self._since: dict[str, float] = {}
        self._known_partitions: list[Partition] | None = None
        self._seen: dict[str, Any] = {}
        self._seen_until = 0.0

    async def stop(self) -> None:
        """Ask for nothing any more."""
        await self._partitions.stop()
        await self._names.stop()

    async def view(self) -> dict[str, Any]:
        """JSON: the site, its partitions, how many pods stand how, and the pods themselves. Never fails."""
        await self._ask_what_is_missing()
        if time.monotonic() >= self._seen_until:
            self._seen = self._look()
            self._seen_until = time.monotonic() + SHARED_SECONDS
        return self._seen

    def _look(self) -> dict[str, Any]:
        phases = [(census.phase(entry), entry) for entry in self._entries]
        urgent = sorted(phases, key=lambda each: (_ORDER[each[0]], -self._began(each[1]), each[1].name))
        return {
            "site": self._of_site(),
            "partitions": self._of_partitions(),
            "counts": dict(Counter(phase for phase, _ in phases)),
            "pods": [self._row(phase, entry) for phase, entry in urgent[:MOST_PODS]],
        }

    async def _ask_what_is_missing(self) -> None:
        if self._poller.error:
            return
        nameless = any(_is_unnamed(entry) and entry.pod not in self._listed for entry in self._entries)
        asked = [self._partitions.soon(), self._names.soon() if nameless else None]
        unanswered = [task for task in asked if task is not None]
        if unanswered:
            await asyncio.wait(unanswered, timeout=FIRST_LOOK_SECONDS)

    def knows(self, pod: str, container: str) -> bool:
        """Whether the pod has such a container, as far as is known."""
        entry = self._entries.get(pod)
        return entry is not None and container in self._containers(entry)

    def _of_site(self) -> dict[str, Any]:
        line, poller = self._site.line, self._poller
        return {
            "address": address(self._config),
            "reachable": not poller.error,
            "error": poller.error,
            "connected": line.connection.connected,
            "host": line.connection.host,
            "retryInSeconds": round(line.connection.retry_in, 1),
            "roundTripSeconds": line.round_trip,
            "lastPollSeconds": None if poller.last_success is None else round(poller.age, 1),
            "pollIntervalSeconds": self._config.poll_interval,
            "sessionsInUse": line.sessions_in_use,
            "sessionsLimit": line.sessions_limit,
        }

    def _of_partitions(self) -> list[dict[str, Any]] | None:
        """None where they are not known yet."""
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
                "timeLimit": each.time_limit,
                "gres": each.gres,
            }
            for each in self._known_partitions
        ]

    def _began(self, entry: Entry) -> float:
        return self._since.get(entry.pod, entry.since)

    def _row(self, phase: str, entry: Entry) -> dict[str, Any]:
        unasked = self._orphans.unasked_seconds(entry)
        listed = self._listed.get(entry.pod)
        return {
            "pod": entry.pod,
            "name": listed.name if listed and _is_unnamed(entry) else entry.name,
            "jobId": entry.job_id,
            "state": census.standing(entry)[0],
            "phase": phase,
            "reason": census.reason(entry),
            "startsAt": entry.job.start if entry.job and entry.job.state.phase is Phase.WAITING else None,
            "ageSeconds": max(0, int(time.time() - self._began(entry))),
            "unaskedSeconds": int(unasked) if unasked >= SUSPICIOUS_SECONDS else None,
            "containers": [container_state(name, entry.records.get(name)) for name in self._containers(entry)],
        }

    def _containers(self, entry: Entry) -> list[str]:
        """In the order of their start, then of their names: memory has no other."""
        listed = self._listed.get(entry.pod)
        if listed is not None and listed.containers:  # none are listed where the script is packed
            return [*listed.init_containers, *listed.containers]
        names = entry.expected | set(entry.records)
        return sorted(names, key=lambda name: (_started(entry.records.get(name)), name))

    async def _ask_partitions(self) -> None:
        self._known_partitions = await self._site.partitions()

    async def _ask_names(self) -> None:
        listed, now = await listing(self._site), time.time()
        self._listed = {each.pod: each for each in listed}
        self._since = {each.pod: now - each.age for each in listed if each.age is not None}


def most_urgent(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of several views together, in the same order, and no more than of one."""
    return sorted(rows, key=lambda row: (_ORDER[row["phase"]], row["ageSeconds"], row["name"]))[:MOST_PODS]


def _started(record: Record | None) -> float:
    return record.started if record else float("inf")


def _is_unnamed(entry: Entry) -> bool:
    return entry.name in {"", entry.pod}


class _Asked:
    """Something that is asked of the site now and then: at most once in ASK_SECONDS, and never twice at once."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._ask = ask
        self._task: asyncio.Task[None] | None = None
        self._next = 0.0
        self._answered = False

    def soon(self) -> asyncio.Task[None] | None:
        """Ask where it is time; the task, where there has been no answer yet that one could do without."""
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
            detail(f"those who watch see less: {error}")
