"""One pod on its way: each change of its status as a line, and one container's log."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from remote_slurm.cli.client import SidecarClient
from remote_slurm.cli.replies import Refused
from remote_slurm.cli.screen import Colour, Screen
from remote_slurm.errors import RemoteSlurmError

if TYPE_CHECKING:
    from remote_slurm.cli.documents import Json

_LOOK_SECONDS = 0.5  # at the sidecar's memory, which follows the site at PollInterval
_LAST_LINES_SECONDS = 30.0
_AGAIN_SECONDS = 2.0
_SERVER_ERROR = 500


class Watch:
    """`create`, then `until_over`. The log goes to standard output, unless it is to be `quiet`."""

    def __init__(
        self, sidecar: SidecarClient, pod: Json, container: str, screen: Screen, *, quiet: bool = False
    ) -> None:
        self._sidecar = sidecar
        self._pod = pod
        self._container = container
        self._screen = screen
        self._quiet = quiet
        self._said: dict[str, str] = {}
        self._log: asyncio.Task[None] | None = None
        self._printed = 0
        self._run = 0
        self.status: Json | None = None

    @property
    def name(self) -> str:
        return f"{self._pod['metadata']['namespace']}/{self._pod['metadata']['name']}"

    async def create(self, body: Json) -> None:
        """Submit it. Raises Refused or Unreachable with a sentence."""
        async with self._screen.waiting(f"submitting {self.name}"):
            job_id = await self._sidecar.create(body)
        self._say(self.name, f"submitted as job {job_id}" if job_id else "accepted, and being submitted")

    async def until_over(self) -> int:
        """The highest exit code, once every container has ended."""
        try:
            async with self._screen.waiting(f"{self.name} has not started yet"):
                await self._until(_begun, any)
            containers = await self._until(_ended, all)
        finally:
            if self._log is not None:
                self._log.cancel()
        code = max(int(each["state"]["terminated"]["exitCode"]) for each in containers)
        if len(containers) > 1:
            self._say(self.name, self._painted(code))
        return code

    async def _until(self, holds: Callable[[Json], bool], of: Callable[[Iterable[bool]], bool]) -> list[Json]:
        """The containers, once something holds of any or all of them."""
        while True:
            containers = await self._poll()
            if containers and of(holds(each) for each in containers):
                return containers
            await asyncio.sleep(_LOOK_SECONDS)

    async def _poll(self) -> list[Json]:
        """The containers as they stand, once whatever changed has been said."""
        self.status = await self._sidecar.status(self._pod) or self.status
        if self.status is None:
            return []
        containers = [*(self.status["initContainers"] or []), *self.status["containers"]]
        for who, text in self._sentences(containers):
            if who == self._container:
                await self._follow(next(each for each in containers if each["name"] == who))
            self._say(who, text)
        return containers

    def _sentences(self, containers: list[Json]) -> Iterator[tuple[str, str]]:
        """What they wait for is the pod's affair as long as none has begun."""
        waiting = {each["state"]["waiting"]["message"] for each in containers if "waiting" in each["state"]}
        if all("waiting" in each["state"] for each in containers) and len(waiting) == 1:
            yield self.name, waiting.pop()
            return
        for each in containers:
            yield each["name"], self._sentence(each)

    def _sentence(self, container: Json) -> str:
        state = container["state"]
        if "running" in state:
            return "running"
        if "terminated" not in state:
            return str(state.get("waiting", {}).get("message", "waiting"))
        end = state["terminated"]
        return self._painted(int(end["exitCode"]), str(end.get("message", "")))

    def _painted(self, code: int, message: str = "") -> str:
        text = self._screen.paint(f"ended with exit code {code}", Colour.BAD if code else Colour.GOOD)
        return f"{text}: {message}" if message else text

    def _say(self, who: str, text: str) -> None:
        if self._said.get(who) != text:
            self._said[who] = text
            self._screen.line(f"{self._screen.paint(f'{who}:', Colour.QUIET)} {text}")

    async def _follow(self, container: Json) -> None:
        """Begin with the log of a run when there can be one; when its container has ended, wait for the last lines."""
        if self._quiet or "waiting" in container["state"]:
            return
        run = int(container["restartCount"])
        if self._log is None or (self._log.done() and run > self._run):
            if "running" in container["state"]:
                self._say(container["name"], "running")
            self._run, self._printed = run, 0  # each run has a log of its own
            self._log = asyncio.create_task(self._print_log())
        if self._log.done():
            self._log.result()  # a reader that has gone away ends the run
        elif _ended(container):
            await self._rest_of(self._log)
            if not self._log.done():
                self._warn(f"no more of the log has come for {_LAST_LINES_SECONDS:g} s: it may be incomplete")

    async def _rest_of(self, log: asyncio.Task[None]) -> None:
        """Wait for the log's end as long as bytes arrive."""
        printed = -1
        while printed != self._printed and not log.done():
            printed = self._printed
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(log), _LAST_LINES_SECONDS)

    async def _print_log(self) -> None:
        """To its end; where the connection breaks, from there on."""
        while True:
            try:
                return await self._print_rest()
            except RemoteSlurmError as error:
                if isinstance(error, Refused) and error.status < _SERVER_ERROR:
                    self._warn(f"no log: {error}")
                    return None
                self._warn(f"the log broke off: {error}")
                await asyncio.sleep(_AGAIN_SECONDS)

    @property
    def has_whole_log(self) -> bool:
        """Whether all of the log that is followed was printed."""
        return self._log is None or (self._log.done() and not self._log.cancelled())

    def _warn(self, text: str) -> None:
        self._screen.line(f"{self._screen.paint('warning:', Colour.WARNING)} {text}")

    async def _print_rest(self) -> None:
        """What of the log has not been printed yet; a log only grows."""
        skip = self._printed
        async with aclosing(self._sidecar.log(log_request(self._pod, self._container, follow=True))) as chunks:
            async for chunk in chunks:
                new, skip = chunk[skip:], max(0, skip - len(chunk))
                self._printed += len(new)
                print_bytes(new)


def print_bytes(data: bytes) -> None:
    """To standard output, as they are."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def log_request(pod: Json, container: str, *, follow: bool = False, lines: int = 0) -> Json:
    """The body of `GET /getLogs`; `lines` 0 is all of it."""
    metadata = pod["metadata"]
    return {
        "Namespace": metadata["namespace"],
        "PodUID": metadata["uid"],
        "PodName": metadata["name"],
        "ContainerName": container,
        "Opts": {"Follow": follow, "Tail": lines},
    }


def _begun(container: Json) -> bool:
    return "waiting" not in container["state"]


def _ended(container: Json) -> bool:
    return "terminated" in container["state"]
