"""Looks after the scripts at the site that pods share, once a day."""

from __future__ import annotations

import asyncio

from remote_slurm.errors import SiteError
from remote_slurm.log import debug
from remote_slurm.site.site import Site

# Purges count in days. Not at once, since a sidecar that starts has other work
PAUSE_SECONDS = 600.0
DAY_SECONDS = 86400.0


class Libraries:
    """Waits for `pause` seconds before each try, and for `day` seconds after one that succeeded."""

    def __init__(self, site: Site, pause: float = PAUSE_SECONDS, day: float = DAY_SECONDS) -> None:
        self._site = site
        self._pause = pause
        self._day = day

    async def run(self) -> None:
        """Look after them for ever. A sidecar that was superseded leaves it to the newer one."""
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self._site.tend_libraries()
            except SiteError as error:
                debug("cannot look after the scripts that pods share, trying again", reason=error)
            else:
                await asyncio.sleep(self._day)
