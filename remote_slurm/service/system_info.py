"""What `GET /system-info` reports: whether Slurm answers at the site, the output of sinfo, and orphans."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from remote_slurm.errors import SiteError
from remote_slurm.service.orphans import Orphans
from remote_slurm.site.site import Site

# One sinfo serves all clients that ask within this time
SINFO_SECONDS = 5.0


class SystemInfo:
    """Asks the site, at most once in SINFO_SECONDS however many clients ask."""

    def __init__(self, site: Site, orphans: Orphans, clock: Callable[[], float] = time.monotonic) -> None:
        self._site = site
        self._orphans = orphans
        self._clock = clock
        self._output, self._error, self._reachable = "", "", False
        self._until = float("-inf")
        self._lock = asyncio.Lock()

    async def report(self) -> dict[str, Any]:
        """The JSON of the endpoint."""
        async with self._lock:
            if self._clock() >= self._until:
                self._output, self._error, self._reachable = await self._ask()
                self._until = self._clock() + SINFO_SECONDS
        return {
            "status": "error" if self._error else "ok",
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "slurm_connected": not self._error,
            "reachable": self._reachable,
            "sinfo_output": self._output,
            "error": self._error,
            "orphans": [{"pod": pod, "unaskedSeconds": int(each)} for pod, each in self._orphans.found().items()],
        }

    async def _ask(self) -> tuple[str, str, bool]:
        """The output of sinfo, what failed, and whether the site is reachable: sinfo may fail where sbatch works."""
        try:
            output = await self._site.sinfo()
        except SiteError as error:
            return "", str(error), False
        return output.text, output.failure, True
