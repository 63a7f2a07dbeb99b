"""What the ping reports: the site's totals, asked for now and then, and overridden by the configuration."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from remote_slurm.config import Config
from remote_slurm.errors import NotSent, RemoteFailed, SiteError, SlurmFailed
from remote_slurm.log import debug, warning
from remote_slurm.service.reconnect_signal import ReconnectSignal
from remote_slurm.site.site import Site

REFRESH_SECONDS = 300
RETRY_SECONDS = 30
# interLink's own default for a virtual node; Slurm has no such figure
DEFAULT_PODS = 1000


class CapacityWatch:
    """The latest answer of sinfo, or of the script that ResourceScriptPath names."""

    def __init__(self, site: Site, config: Config, returns: ReconnectSignal) -> None:
        self._site = site
        self._config = config
        self._returns = returns
        self._reported: dict[str, Any] | None = None
        self._failure = ""

    async def run(self) -> None:
        """Refresh for ever, and at once after an outage: until then the ping has no room for pods."""
        retry = RETRY_SECONDS
        while True:
            pause = self._returns.subscribe()
            if await self.refresh():
                retry = RETRY_SECONDS
                await asyncio.sleep(REFRESH_SECONDS)
            else:
                await pause.wait(retry)
                retry = min(2 * retry, REFRESH_SECONDS)

    async def refresh(self) -> bool:
        """Return whether the site reported its figures. If it did not, the last figures stay."""
        try:
            self._reported = await (self._from_script() if self._config.resource_script_path else self._from_sinfo())
        except SiteError as error:
            self._failed(error)
            return False
        self._failure = ""
        return True

    def _failed(self, error: SiteError) -> None:
        """Log a failure once. If Slurm hides its nodes from the account (PrivateData), the ping has room for pods."""
        if isinstance(error, SlurmFailed):
            self._reported = self._reported or {"resources": self._room()}
        if str(error) != self._failure:
            write = debug if isinstance(error, NotSent) else warning
            write("cannot read the capacity of the site", reason=error)
        self._failure = str(error)

    def _room(self) -> dict[str, Any]:
        return {"pods": str(int(DEFAULT_PODS * self._config.capacity_factor))}

    async def _from_sinfo(self) -> dict[str, Any]:
        total = await self._site.capacity()
        factor = self._config.capacity_factor
        resources: dict[str, Any] = {
            "cpu": str(int(total.cpus * factor)),
            "memory": f"{int(total.memory_mib * factor)}Mi",
            **self._room(),
        }
        if total.gpus:
            available = str(int(total.gpus * factor))
            resources["accelerators"] = [{"resourceType": "nvidia.com/gpu", "available": available}]
        return {"resources": resources}

    async def _from_script(self) -> dict[str, Any]:
        path = self._config.resource_script_path
        try:
            answer = json.loads(await self._site.resources())
        except ValueError as error:
            raise RemoteFailed(f"ResourceScriptPath {path} printed invalid JSON: {error}") from error
        resources = answer.get("resources", answer) if isinstance(answer, dict) else None
        if not isinstance(resources, dict):
            raise RemoteFailed(f"ResourceScriptPath {path} must print a JSON object with resources")
        others = {"taints": answer["taints"]} if "resources" in answer and "taints" in answer else {}
        return {"resources": _in_words(resources), **others}

    def ping(self, *, takes_pods: bool) -> dict[str, Any]:
        """The PingResponse. A site that takes no pods has room for none; any status but 200 would evict running pods.

        Figures that are not known are left out: the Virtual Kubelet writes a 0 over the node's own, and leaves a node
        alone whose field is missing.
        """
        answer: dict[str, Any] = {"status": "ok", **(self._reported or {})}
        answer["resources"] = {"pods": "0"} | answer.get("resources", {}) | self._overrides()
        if not takes_pods or self._reported is None:
            answer["resources"]["pods"] = "0"
        if self._config.taints:
            answer["taints"] = [
                {"key": taint.key, "value": taint.value, "effect": str(taint.effect)} for taint in self._config.taints
            ]
        return answer

    def _overrides(self) -> dict[str, Any]:
        configured = self._config.resources
        figures = {"cpu": configured.cpu, "memory": configured.memory, "pods": configured.pods}
        overrides: dict[str, Any] = {name: str(value) for name, value in figures.items() if value is not None}
        if configured.accelerators:
            overrides["accelerators"] = [
                {"resourceType": each.resource_type, "available": str(each.available)}
                for each in configured.accelerators
            ]
        return overrides


def _in_words(value: Any) -> Any:
    """Quantities are strings in Go, and one number among them makes interLink reject the whole answer."""
    if isinstance(value, dict):
        return {name: _in_words(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_in_words(each) for each in value]
    return str(value) if isinstance(value, int | float) else value
