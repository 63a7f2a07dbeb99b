"""The one SSH connection of one account at one site.

Opened when first asked for, shared by everything, replaced when it has died, and never asked for more often than the
breaker allows. Lives in one event loop.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from remote_slurm.config import SSH
from remote_slurm.errors import (
    AuthenticationRefused,
    HostKeyRefused,
    NotSent,
    OutcomeUnknown,
    SiteError,
    Unreachable,
)
from remote_slurm.log import info, warning
from remote_slurm.ssh.circuit_breaker import CircuitBreaker, Pace
from remote_slurm.ssh.connect import Connector, Transport
from remote_slurm.ssh.key_renewal import renew
from remote_slurm.ssh.threads import detach, in_thread

_SLACK = 1.0
_MISSED_ANSWERS = 2
_SHUTTING_DOWN = "not sent: the sidecar is shutting down"


class Cause(StrEnum):
    """Why there is no connection."""

    NONE = ""
    KEY_REFUSED = "KeyRefused"
    HOST_KEY_REFUSED = "HostKeyRefused"
    UNREACHABLE = "Unreachable"
    LOST = "Lost"


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """State of the connection. `since` is a time.time(); `retry_in` is the number of seconds until the next attempt.

    `cause` is the kind of the last failure. A change of `retry_file` leads to an attempt before `retry_in`.
    """

    connected: bool
    host: str
    since: float
    last_error: str
    retry_in: float
    connects: int = 0
    failures: int = 0
    cause: Cause = Cause.NONE
    retry_file: str = ""


class Connection:
    """Gives out the live link to the site, connecting where there is none."""

    def __init__(
        self,
        settings: SSH,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._settings = settings
        self._hosts = list(settings.host_names)
        self._breaker = breaker or CircuitBreaker(
            pace or Pace(per_minute=settings.max_connections_per_minute), _files_of_login(settings), clock
        )
        self._link: Transport | None = None
        self._attempt: asyncio.Task[Transport] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._since = time.time()
        self._connects = self._failures = 0
        self._closed = False

    @property
    def state(self) -> ConnectionState:
        """The present state. Returns at once."""
        self._notice_death()
        error = self._breaker.last_error
        cause = _cause(error)
        return ConnectionState(
            connected=self.connected,
            host=self._link.host if self._link else "",
            since=self._since,
            last_error=str(error) if error else "",
            retry_in=self._breaker.seconds_left,
            connects=self._connects,
            failures=self._failures,
            cause=cause,
            retry_file=self._retry_file(cause),
        )

    def _retry_file(self, cause: Cause) -> str:
        files = {
            Cause.KEY_REFUSED: self._settings.identity_file,
            Cause.HOST_KEY_REFUSED: self._settings.user_known_hosts_file,
        }
        return str(files.get(cause) or "")

    @property
    def connected(self) -> bool:
        """Whether there is a link that is not known to be dead."""
        return self._link is not None and self._link.alive

    async def link(self) -> Transport:
        """The live link. One attempt serves all waiting callers.

        Raises Unreachable, HostKeyRefused or AuthenticationRefused, within ConnectTimeout per HostName.
        """
        if self._closed:
            raise NotSent(_SHUTTING_DOWN)
        self._notice_death()
        if self._link:
            return self._link
        if self._attempt is None or self._attempt.done():
            self._breaker.attempt()
            self._attempt = asyncio.create_task(self._connect(), name="ssh-connect")
            self._attempt.add_done_callback(_retrieve)
        attempt, caller = self._attempt, asyncio.current_task()
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if attempt.cancelled() and caller and not caller.cancelling():
                raise NotSent(_SHUTTING_DOWN) from None
            raise

    def drop(self, link: Transport, why: str) -> None:
        """Give a link up that is dead or frozen: what waits on it fails now, and the next call reconnects."""
        if link is self._link:
            self._forget(f"the connection to {link.host} was given up: {why}")
        detach("ssh-close", link.close)

    def sibling(self) -> "Connection":
        """Another connection to the same site. Both together make no more attempts per minute than one may."""
        return Connection(self._settings, breaker=self._breaker.sibling())

    async def disconnect(self) -> None:
        """End the link, since nothing needs it now. The next call of `link` connects again."""
        link, self._link = self._link, None
        if self._heartbeat:
            self._heartbeat.cancel()
        if link:
            self._since = time.time()
            await in_thread("ssh-close", link.close)

    async def close(self) -> None:
        """End the connection and any attempt; nothing can be asked afterwards."""
        self._closed = True
        for task in (self._attempt, self._heartbeat):
            if task and not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, SiteError):
                    await task
        if self._link:
            link, self._link = self._link, None
            await in_thread("ssh-close", link.close)

    def _notice_death(self) -> None:
        if self._link and not self._link.alive:
            self._forget(f"the connection to {self._link.host} was closed by the site or the network")

    def _forget(self, why: str) -> None:
        warning("lost the connection to the site", reason=why)
        self._link = None
        self._since = time.time()
        self._breaker.last_error = OutcomeUnknown(why)

    async def _connect(self) -> Transport:
        failures: list[Unreachable] = []
        try:
            await renew(self._settings.before_connect)
            for position, host in enumerate(list(self._hosts)):
                try:
                    if position:
                        self._breaker.count()
                    return self._use(await self._dial(host), host)
                except Unreachable as error:
                    failures.append(error)
            kinds = {type(failure) for failure in failures}
            kind = kinds.pop() if len(kinds) == 1 else Unreachable
            raise kind("; ".join(map(str, failures))) from failures[-1]
        except SiteError as error:
            self._failures += 1
            self._breaker.failed(error)
            warning("cannot connect to the site", reason=error)
            raise

    async def _dial(self, host: str) -> Transport:
        dial = Connector(self._settings, host)
        attempt = in_thread(f"ssh-dial-{host}", dial.run)
        limit = self._settings.connect_timeout
        try:
            # The steps have limits of their own, which add up to little more; only a name server can be slower.
            return await asyncio.wait_for(attempt, limit + _SLACK)
        except (TimeoutError, asyncio.CancelledError) as error:
            detach("ssh-close", dial.abort)
            if isinstance(error, asyncio.CancelledError):
                raise
            raise Unreachable(f"cannot reach {host}: no connection within {limit:g} s (ConnectTimeout)") from error

    def _use(self, link: Transport, host: str) -> Transport:
        # The next attempt starts with the host that worked: two login nodes may see a shared folder differently.
        self._hosts.sort(key=lambda name: name != host)
        self._breaker.succeeded()
        self._connects += 1
        self._link = link
        self._since = time.time()
        info("connected to the site", host=link.host)
        for remark in link.remarks:
            warning("the SSH configuration has settings without effect", reason=remark)
        if self._heartbeat:
            self._heartbeat.cancel()
        if self._settings.server_alive_interval:
            self._heartbeat = asyncio.create_task(self._watch(link), name="ssh-heartbeat")
        return link

    async def _watch(self, link: Transport) -> None:
        """Ask for a sign of life when it is quiet: no keepalive of TCP or Paramiko notices a frozen peer."""
        interval = self._settings.server_alive_interval
        silent = 0
        while link.alive and silent <= _MISSED_ANSWERS:
            before = link.wire.received
            await asyncio.sleep(interval)
            silent = 0 if link.wire.received != before else silent + 1
            if silent == 1 and link.alive:
                detach("ssh-alive", link.transport.global_request, "keepalive@openssh.com")
        if link.alive:
            self.drop(link, f"it has been silent for {interval * silent:g} s")


def _cause(error: SiteError | None) -> Cause:
    match error:
        case None:
            return Cause.NONE
        case AuthenticationRefused():
            return Cause.KEY_REFUSED
        case HostKeyRefused():
            return Cause.HOST_KEY_REFUSED
        case OutcomeUnknown():
            return Cause.LOST
        case _:
            return Cause.UNREACHABLE


def _files_of_login(settings: SSH) -> list[Path]:
    """The files whose change may turn a refusal into a login."""
    key = settings.identity_file
    beside = key.with_name(key.name + "-cert.pub") if key else None
    files = (key, settings.certificate_file or beside, settings.passphrase_file, settings.user_known_hosts_file)
    return [path for path in files if path]


def _retrieve(attempt: asyncio.Task[Transport]) -> None:
    """Mark the attempt's error as read. `_connect` has logged it, and all waiting callers may have gone by now."""
    if not attempt.cancelled():
        attempt.exception()
