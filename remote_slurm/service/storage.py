"""Whether DataRootFolder has room for pods. As long as it has none, the ping has no room for pods either.

A pod that could not be stored leads to a trial: as much as a pod needs is written and removed. Only the trial decides,
so that a pod that fails for another reason keeps no pod away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from remote_slurm.errors import RemoteFailed, SiteError
from remote_slurm.log import debug, info, warning
from remote_slurm.site.site import Site

# Between two trials; it doubles while they fail
TRY_SECONDS = 30
LONGEST_TRY_SECONDS = 300


class Storage:
    """`error` is why pods cannot be stored; empty if nothing shows that they cannot."""

    def __init__(self, site: Site, clock: Callable[[], float] = time.monotonic) -> None:
        self._site = site
        self._clock = clock
        self._suspected = asyncio.Event()
        self._next_trial = 0.0
        self.error = ""

    @property
    def retry_in(self) -> float:
        """Seconds until the next trial; 0 if none is needed."""
        return max(0.0, self._next_trial - self._clock()) if self.error else 0.0

    def suspect(self, error: SiteError) -> None:
        """Try at once, or after the pause since the last trial, whether the site stores pods, if it has replied."""
        if isinstance(error, RemoteFailed):
            self._suspected.set()

    async def run(self) -> None:
        """Make trials for ever: after a suspicion, and as long as they fail."""
        pause = TRY_SECONDS
        while True:
            await self._suspected.wait()
            self._suspected.clear()
            await self.try_it()
            self._next_trial = self._clock() + pause
            await asyncio.sleep(pause)
            if self.error:
                self._suspected.set()
                pause = min(2 * pause, LONGEST_TRY_SECONDS)
            else:
                pause = TRY_SECONDS

    async def try_it(self) -> None:
        """Find out whether pods can be stored. A site that does not reply shows nothing."""
        try:
            await self._site.try_store()
        except RemoteFailed as error:
            if not self.error:
                warning("pods cannot be stored at the site, there is no room for pods until they can", reason=error)
            self.error = str(error)
        except SiteError as error:
            debug("cannot test writing to DataRootFolder", reason=error)
        else:
            if self.error:
                info("pods can be stored at the site again")
            self.error = ""
