"""The ways to the port of a node: from the login node, or through a step of the pod's job (PortForward.Via).

The first way costs the job nothing. What a site has shown not to work is not tried again for a while.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from remote_slurm.config import Via
from remote_slurm.errors import Code, PortUnreachable
from remote_slurm.site.site import PortStream, Site

# An administrator may allow it, and a program may listen on more addresses after its next start
_REMEMBERED_SECONDS = 600.0
# For all ports of the site; a port that refuses says nothing about other ports
_OF_THE_SITE = {Code.FORWARDING_PROHIBITED, Code.NO_ANSWER}
# A program that starts is asked for again and again, and each time would take a step of the job
_NOTHING_LISTENS_SECONDS = 5.0
_MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """A port of the node where a job runs."""

    job_id: str
    node: str
    port: int


class PortWays:
    """Selects the way for each connection to one site. Lives in one event loop."""

    def __init__(self, site: Site, via: Via, clock: Callable[[], float] = time.monotonic) -> None:
        self._site = site
        self._via = via
        self._clock = clock
        # the time until which steps are used, for a target or (None) for all of the site
        self._through_job: dict[Target | None, float] = {}
        # until when nothing listens there, as a step has found
        self._refused: dict[Target, tuple[float, PortUnreachable]] = {}

    async def open_in_step(self, target: Target) -> PortStream | None:
        """Connect through a step that runs already, which shows that the job does; None if that is not the way.

        Raises PortUnreachable, or another SiteError.
        """
        if not (self._is_through_job(target) and self._site.has_step_in(target.job_id)):
            return None
        return await self._site.open_port_in_step(target.job_id, target.node, target.port)

    def guess(self, target: Target) -> asyncio.Future[PortStream] | None:
        """Connect before it is certain that the job runs there, unless that would start a step."""
        if self._is_through_job(target):
            return None
        return asyncio.ensure_future(self._connect(target, through_job=False))

    async def open(self, target: Target, guess: asyncio.Future[PortStream] | None = None) -> PortStream:
        """Connect to the target, whose job runs there. `guess` is of the same target.

        Raises PortUnreachable, or another SiteError.
        """
        through_job = guess is None and self._is_through_job(target)
        try:
            return await (guess or self._connect(target, through_job=through_job))
        except PortUnreachable as error:
            if self._via is not Via.AUTO or (through_job and error.code is not Code.NO_RELAY):
                raise
            return await (self._open_directly if through_job else self._open_through_job)(target, error)

    async def _connect(self, target: Target, *, through_job: bool) -> PortStream:
        if through_job:
            return await self._connect_through_job(target)
        return await self._site.open_port(target.node, target.port)

    async def _connect_through_job(self, target: Target) -> PortStream:
        """Connect, unless a step has just found that nothing listens, and another one would have to be started."""
        until, found = self._refused.pop(target, (0.0, None))
        if found and until > self._clock() and not self._site.has_step_in(target.job_id):
            self._refused[target] = until, found
            raise PortUnreachable(found.message, code=found.code)
        try:
            return await self._site.open_port_in_job(target.job_id, target.node, target.port)
        except PortUnreachable as error:
            if error.code is Code.CONNECT_FAILED:
                if len(self._refused) >= _MOST_REMEMBERED:
                    self._refused.clear()
                self._refused[target] = self._clock() + _NOTHING_LISTENS_SECONDS, error
            raise

    async def _open_through_job(self, target: Target, direct: PortUnreachable) -> PortStream:
        """Connect after the direct way has failed."""
        try:
            stream = await self._connect(target, through_job=True)
        except PortUnreachable as error:
            if error.code is Code.NO_RELAY:
                raise PortUnreachable(f"{direct.message}; {error.message}", code=direct.code) from error
            if direct.code is Code.FORWARDING_PROHIBITED:
                self._remember(None)
            raise
        self._remember(None if direct.code in _OF_THE_SITE else target)
        return stream

    async def _open_directly(self, target: Target, in_job: PortUnreachable) -> PortStream:
        """Connect after no step could be started: what was prohibited for another port may be allowed (PermitOpen)."""
        try:
            return await self._connect(target, through_job=False)
        except PortUnreachable as error:
            raise PortUnreachable(f"{error.message}; {in_job.message}", code=error.code) from in_job

    def _is_through_job(self, target: Target) -> bool:
        if self._via is not Via.AUTO:
            return self._via is Via.SRUN
        return max(self._through_job.get(each, 0.0) for each in (None, target)) > self._clock()

    def _remember(self, what: Target | None) -> None:
        if len(self._through_job) >= _MOST_REMEMBERED:
            self._through_job.clear()
        self._through_job[what] = self._clock() + _REMEMBERED_SECONDS
