"""Pods that clients name, and whether squeue shows their jobs running: for ports of pods and commands in them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from remote_slurm.domain.pod.folder_name import join_key, namespace_of
from remote_slurm.domain.pod.shadow_name import is_shadow_of
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.domain.slurm.pending_reasons import pending_sentence
from remote_slurm.errors import NotSent, PodNotFound, PodNotRunning
from remote_slurm.service.accounts import Accounts
from remote_slurm.service.pods import Pods
from remote_slurm.service.tracked_pod import TrackedPod

# How often the site is asked for the names of pods, at most
_NAMES_SECONDS = 5.0


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

    def known_job(self) -> Job:
        """The pod's job as the last poll has shown it. Raises PodNotRunning if there is none, or none any more."""
        if self.tracked.is_over:
            raise self._ended()
        if self.tracked.job is None:
            raise self.pending(self.tracked.summary().reason)
        return self.tracked.job

    def check_runs(self, job: Job | None) -> Job:
        """Return the job that squeue lists. Raises PodNotRunning unless it is the pod's, and runs."""
        if job is None:
            raise PodNotRunning(f"squeue does not list the job of pod {self.name}", ended=self.tracked.is_over)
        if job.pod != self.key and (job.pod or not self.tracked.owns(job)):
            raise PodNotRunning(f"job {job.id} is not a job of pod {self.name} any more", ended=True)
        if job.state.phase is JobPhase.ENDED:
            raise self._ended()
        if job.state is JobState.COMPLETING:
            # to end, or to run again: a requeued job is listed so, too
            raise PodNotRunning(f"pod {self.name} is not running: job {job.id} is completing", ended=False)
        if job.state.phase is not JobPhase.RUNNING:
            raise self.pending(pending_sentence(job))
        return job

    def pending(self, why: str) -> PodNotRunning:
        """The error for a pod that waits."""
        return PodNotRunning(f"pod {self.name} is pending{f': {why}' if why else ''}", ended=False)

    def _ended(self) -> PodNotRunning:
        return PodNotRunning(f"pod {self.name} has ended", ended=True)


@dataclass(eq=False, slots=True, kw_only=True)
class InUse:
    """What a client uses of a pod. `ended` is why it was ended from here; empty as long as it was not."""

    pod: FoundPod
    began: float = field(default_factory=time.monotonic)
    ended: str = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def end(self, why: str) -> None:
        """End it from here."""
        self.ended = self.ended or why
        self.close()

    def close(self) -> None:
        """Close it at the site. Never waits."""
        raise NotImplementedError


class PodFinder:
    """Finds pods of all accounts by their names. Lives in one event loop."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._naming = asyncio.Lock()
        self._named_until: dict[str, float] = {}

    async def find(self, namespace: str, pod: str) -> FoundPod:
        """The pod with this name or UID. Raises PodNotFound, and SiteError if the pods are not known yet."""
        return await self._find(namespace, lambda tracked: _is_called(tracked, namespace, pod), f"{namespace}/{pod}")

    async def find_by_shadow(self, shadow: str, namespace: str, among: Collection[str]) -> FoundPod:
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

    async def _find(self, namespace: str, is_wanted: Callable[[TrackedPod], bool], called: str) -> FoundPod:
        found = self._called(namespace, is_wanted)
        if not found and (unnamed := self._unnamed(namespace)):
            await self._name(unnamed)
            found = self._called(namespace, is_wanted)
        if not found and not all(each.recovered for each in self._accounts):
            raise NotSent("the sidecar is still reading the pods at the site: ask again in a moment")
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
