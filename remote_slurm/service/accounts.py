"""The pods of every account at the site, asked as if they were those of one.

There is one account, unless Identities names more. Each has its own connection, folder and poll, and what one cannot do
holds up no other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.identities import identity_of
from remote_slurm.domain.logs import LogSlice
from remote_slurm.domain.pod import CreateRequest, Pod
from remote_slurm.errors import Rejected, SiteError
from remote_slurm.events import event
from remote_slurm.service.lookout import most_urgent
from remote_slurm.service.pods import Created, Pods


class Accounts:
    """`pods` are those of each account, by the names of Identities; of the only one, by the empty name."""

    def __init__(self, pods: Mapping[str, Pods], config: Config) -> None:
        self._pods = dict(pods)
        self._config = config

    def __iter__(self) -> Iterator[Pods]:
        return iter(self._pods.values())

    @property
    def labelled(self) -> list[tuple[str, Pods]]:
        """Each with what people call it: its name in Identities; without any, SSH.User."""
        return [(name or pods.user, pods) for name, pods in self._pods.items()]

    def of(self, pod: Pod) -> Pods:
        """Those that know the pod, since a job stays where it was submitted; else those that it is for.

        Raises Rejected where no identity is for it.
        """
        return self._knowing(pod.key) or self._pods[identity_of(pod, self._config)]

    @property
    def _unknown(self) -> list[Pods]:
        """Those that may have any pod: what their folder at the site holds is not known yet."""
        return [each for each in self if not each.recovered]

    def _knowing(self, key: str) -> Pods | None:
        return next((each for each in self if each.knows(key)), None)

    # --- what interLink asks ---

    async def create(self, request: CreateRequest) -> Created:
        """See Pods.create."""
        return await self.of(request.pod).create(request)

    def status(self, pods: list[Pod]) -> list[dict[str, Any]]:
        """See Pods.status."""
        return [status for pod in pods for status in self._status(pod)]

    def _status(self, pod: Pod) -> list[dict[str, Any]]:
        if self._knowing(pod.key) is None and self._unknown:
            return []  # a pod stays where it was submitted, also when it would be for another identity by now
        try:
            return self.of(pod).status([pod])
        except Rejected:
            return []  # nothing was ever created for it

    def delete(self, pod: Pod) -> None:
        """See Pods.delete; of a pod that no identity is for, there is nothing.

        One that nobody knows is deleted wherever it may be.
        """
        wherever = [] if self._knowing(pod.key) else self._unknown
        try:
            self.of(pod).delete(pod)
        except Rejected as error:
            event(f"nothing to delete: {error}", pod=pod.full_name)
        for each in wherever:
            if pod.key not in each.deletes:
                each.delete(pod)

    def log(self, what: LogSlice) -> AsyncGenerator[bytes, None]:
        """See Pods.log."""
        return (self._knowing(what.pod) or next(iter(self))).log(what)

    def ping(self) -> dict[str, Any]:
        """What one of them knows of the site that they share; room for pods is there as long as one is reached."""
        return next((each for each in self if not each.poller.error), next(iter(self))).ping()

    async def system_info(self) -> dict[str, Any]:
        """Of the first account; what is wrong with any of them is named."""
        answers = dict(zip(self._pods, await asyncio.gather(*(each.system_info() for each in self)), strict=True))
        first = next((each for each in answers.values() if not each["error"]), next(iter(answers.values())))
        wrong = {name: each["error"] for name, each in answers.items() if each["error"]}
        error = "; ".join(f"{name}: {words}" if name else words for name, words in wrong.items())
        orphans = [orphan for each in answers.values() for orphan in each["orphans"]]
        return {**first, "status": "error" if error else "ok", "error": error, "orphans": orphans}

    # --- for people ---

    async def overview(self) -> dict[str, Any]:
        """See Pods.overview; an account that cannot be asked is left out, unless it is the only one."""
        answers = await asyncio.gather(*(each.overview() for each in self), return_exceptions=True)
        found = [each for each in answers if not isinstance(each, BaseException)]
        errors = [each for each in answers if isinstance(each, BaseException)]
        unexpected = [each for each in errors if not isinstance(each, SiteError)]
        if unexpected or not found:
            raise (unexpected or errors)[0]
        return {"site": found[0]["site"], "pods": [pod for each in found for pod in each["pods"]]}

    async def view(self) -> dict[str, Any]:
        """See Lookout.view: of all accounts together, and the site as the one sees it that has most to say."""
        views = await asyncio.gather(*(each.lookout.view() for each in self))
        named = list(zip(self._pods, views, strict=True))
        told = next((each for each in views if not each["site"]["reachable"]), views[0])
        counts: Counter[str] = sum((Counter(each["counts"]) for each in views), Counter())
        return {
            **told,
            "partitions": next((each["partitions"] for each in views if each["partitions"]), None),
            "counts": dict(counts),
            "pods": most_urgent({**row, "account": name} for name, view in named for row in view["pods"]),
            "accounts": [{"name": name, **view["site"]} for name, view in named if name],
        }

    def shows(self, pod: str, container: str) -> bool:
        """Whether a pod that `view` tells of has such a container."""
        return any(each.lookout.knows(pod, container) for each in self)

    # --- how they stand ---

    @property
    def overdue(self) -> float:
        """By how many seconds the look at the site is overdue that is most so."""
        return max(each.poller.overdue for each in self)

    @property
    def recovered(self) -> bool:
        """Whether the pods of any account are known: the others are waited for by their own creates."""
        return any(each.recovered for each in self)

    @property
    def superseded(self) -> bool:
        """Whether newer sidecars have all of them."""
        return all(each.superseded for each in self)

    # --- life ---

    def start(self) -> None:
        for each in self:
            each.start()

    def end_followers(self) -> None:
        for each in self:
            each.end_followers()

    async def stop(self) -> None:
        await asyncio.gather(*(each.stop() for each in self))
