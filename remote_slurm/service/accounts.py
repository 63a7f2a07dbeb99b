"""The accounts at the site: which account a pod belongs to, and their answers merged into one.

There is one account, unless Identities names more. Each account has its own connection, folder and poll, so that one
that cannot be reached does not delay the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from remote_slurm.config import AccountConfig, Config
from remote_slurm.domain.pod.account import identity_of
from remote_slurm.domain.pod.model import Pod
from remote_slurm.errors import InvalidRequest, SiteError
from remote_slurm.log import info
from remote_slurm.service.audit import note
from remote_slurm.service.dashboard import most_urgent, waiting_json
from remote_slurm.service.history import history_json
from remote_slurm.service.orphans import EVERYBODY, Asker
from remote_slurm.service.pods import Pods

# Of a list of pods: see Dashboard.list_pods
_TROUBLES = ("unreachable", "pollFailure")


class Accounts:
    """`pods` are the pods of each account, by the names in Identities; without Identities, the name is empty."""

    def __init__(self, pods: Mapping[str, Pods], config: Config) -> None:
        self._pods = dict(pods)
        self._config = config

    def __iter__(self) -> Iterator[Pods]:
        return iter(self._pods.values())

    @property
    def labelled(self) -> list[tuple[str, Pods]]:
        """Each account with the label that metrics use: its name in Identities, else SSH.User."""
        return [(name or pods.user, pods) for name, pods in self._pods.items()]

    # --- which account ---

    def of(self, pod: Pod) -> Pods:
        """The account that has the pod, since a job stays where it was submitted, else the one that the pod maps to.

        Raises InvalidRequest if no identity matches the pod.
        """
        return self._holding(pod.key) or self._pods[identity_of(pod, AccountConfig.from_config(self._config))]

    def holding(self, key: str) -> Pods:
        """The account that has the pod with this folder, else the first one."""
        return self._holding(key) or next(iter(self))

    def note(self, pods: Pods) -> Pods:
        """Add the account to the audit line of the current request."""
        note(identity=next((name for name, each in self._pods.items() if each is pods), ""), user=pods.user)
        return pods

    def _holding(self, key: str) -> Pods | None:
        return next((each for each in self if each.knows(key)), None)

    @property
    def _unrecovered(self) -> list[Pods]:
        """Accounts that may have any pod, since the content of their folder is not known yet."""
        return [each for each in self if not each.recovered]

    # --- what interLink asks ---

    def status(self, pods: list[Pod], asker: Asker = EVERYBODY) -> list[dict[str, Any]]:
        """The PodStatus of each pod that an account knows."""
        return [status for pod in pods for status in self._status(pod, asker)]

    def _status(self, pod: Pod, asker: Asker) -> list[dict[str, Any]]:
        if self._holding(pod.key) is None and self._unrecovered:
            return []  # its account may be one that is not recovered, even if Identities maps it to another one by now
        try:
            return self.of(pod).status([pod], asker)
        except InvalidRequest:
            return []  # no pod was ever created for it

    def delete(self, pod: Pod) -> None:
        """Delete the pod in its account. A pod that no account has is deleted in each one that is not recovered yet."""
        wherever = [] if self._holding(pod.key) else self._unrecovered
        try:
            self.note(self.of(pod)).delete(pod)
        except InvalidRequest as error:
            info("no account has the pod to delete", pod=pod.full_name, reason=error)
        for each in wherever:
            if pod.key not in each.deletes:
                each.delete(pod)

    def is_being_deleted(self, key: str) -> bool:
        return any(key in each.deletes for each in self)

    def ping(self) -> dict[str, Any]:
        """The capacity of the site as one account sees it: there is room as long as one account takes pods."""
        return next((each for each in self if each.takes_pods), next(iter(self))).ping()

    async def system_info(self) -> dict[str, Any]:
        """The report of the first account that has no error, with the errors and orphans of all accounts."""
        reports = await asyncio.gather(*(each.system_info.report() for each in self))
        named = dict(zip(self._pods, reports, strict=True))
        first = next((each for each in reports if not each["error"]), reports[0])
        errors = {name: each["error"] for name, each in named.items() if each["error"]}
        error = "; ".join(f"{name}: {text}" if name else text for name, text in errors.items())
        orphans = [orphan for each in reports for orphan in each["orphans"]]
        reachable = all(each["reachable"] for each in reports)
        status = "error" if error else "ok"
        return {**first, "status": status, "reachable": reachable, "error": error, "orphans": orphans}

    # --- for people ---

    async def list_pods(self, *, remembered: bool = False) -> dict[str, Any]:
        """Dashboard.list_pods of all accounts. An account that fails is left out, unless all fail."""
        lists = (each.dashboard.list_pods(remembered=remembered) for each in self)
        answers = await asyncio.gather(*lists, return_exceptions=True)
        found = [each for each in answers if not isinstance(each, BaseException)]
        errors = [each for each in answers if isinstance(each, BaseException)]
        unexpected = [each for each in errors if not isinstance(each, SiteError)]
        if unexpected or not found:
            raise (unexpected or errors)[0]
        pods = [pod for each in found for pod in each["pods"]]
        troubles = {name: next((each[name] for each in found if name in each), None) for name in _TROUBLES}
        return {"site": found[0]["site"], "pods": pods, **troubles}

    async def view(self) -> dict[str, Any]:
        """Dashboard.view of all accounts. The site is that of an account that takes no pods, if there is one."""
        views = await asyncio.gather(*(each.dashboard.view() for each in self))
        named = list(zip(self._pods, views, strict=True))
        unreachable = (each for each in views if not each["site"]["reachable"])
        full = (each for each in views if each["site"]["storageError"])
        worst = next(chain(unreachable, full), views[0])
        waiting = Counter[str]()
        for view in views:
            waiting.update({each["reason"]: each["pods"] for each in view["waiting"]})
        counts: Counter[str] = sum((Counter(each["counts"]) for each in views), Counter())
        return {
            **worst,
            "partitions": next((each["partitions"] for each in views if each["partitions"]), None),
            "counts": dict(counts),
            "waiting": waiting_json(waiting),
            "pods": most_urgent({**row, "account": name} for name, view in named for row in view["pods"]),
            "accounts": [{"name": name, **view["site"]} for name, view in named if name],
        }

    def history(self) -> dict[str, Any]:
        """The last hours of all accounts together: see History."""
        return history_json(each.history for each in self)

    def shows(self, pod: str, container: str) -> bool:
        """Whether `view` shows such a container."""
        return any(each.dashboard.shows(pod, container) for each in self)

    # --- health ---

    @property
    def overdue(self) -> float:
        """By how many seconds the poll of any account is overdue, at most."""
        return max(each.poller.overdue for each in self)

    @property
    def recovered(self) -> bool:
        """Whether any account is recovered. Creates of the others wait for their own recovery."""
        return any(each.recovered for each in self)

    @property
    def superseded(self) -> str:
        """Why this sidecar owns none of the folders; empty if it owns one."""
        reasons = [each.superseded for each in self]
        return reasons[0] if all(reasons) else ""

    async def stop(self) -> None:
        """Stop all accounts, then write tombstones of the deletes that the site does not know yet."""
        await asyncio.gather(*(each.stop() for each in self))
        await asyncio.gather(*(each.deletes.announce() for each in self))
