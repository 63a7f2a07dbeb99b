"""`remote-slurm serve` as two processes: this small one holds the sockets, and starts the server again if it dies.

interLink repeats nothing: a create that finds no listener fails its pod for good, and a delete is lost. So listening
sockets belong to the supervisor, and connections wait in their backlog while the server is away for a second. A request
that was under way when the server died is given to the next server (see api/handover.py): creates, deletes and status
requests may be repeated, since a pod never gets a second job.

The supervisor uses the standard library only, and about 10 MB of memory.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType

from remote_slurm.api.handover import VARIABLE, Channel, Message, RequestRecord, readable
from remote_slurm.log import configure, info, warning

# A request that the server dies of must not end every server after it. Servers that were killed for other reasons, one
# soon after another, must not cost a request: on a loaded machine, 5 of them answered none in 0.3 s each.
MAX_REPEATS = 20
# A server that died before it listened counts as so many, so that its requests are given up before the supervisor does
_FAILED_START_REPEATS = 5
# The supervisor gives up after so many servers in a row that died before they listened
MAX_FAILURES = 8
_RIGHT_AFTER_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 2.0
# As many messages fit into the channel, so that this process never waits for a server that writes to it
MOST_ACCEPTED = 16

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_STOP = (signal.SIGTERM, signal.SIGINT)
_UNAVAILABLE = b"the sidecar ended several times while it handled this request: see its log\n"
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_UNAVAILABLE), _UNAVAILABLE)
)
# As sd_listen_fds(3) has it
_FIRST_ACTIVATED = 3


def is_possible() -> bool:
    """Whether this process may become a supervisor: only Linux has memory files, and a server is none itself."""
    return sys.platform == "linux" and VARIABLE not in os.environ


def supervise(arguments: Sequence[str]) -> int:
    """Run `remote-slurm` with these arguments as the server until it stops; returns its exit code."""
    # -m alone would import modules from the current folder, which other users may have written
    return Supervisor([sys.executable, "-P", "-m", "remote_slurm", *arguments], os.environ).run()


class _Connection:
    """A client's connection, and the record of its request."""

    def __init__(self, fd: int, record: RequestRecord) -> None:
        self.fd = fd
        self.record = record
        self.repeats = 0

    def close(self, answer: bytes = b"") -> None:
        with socket.socket(fileno=self.fd) as connection:
            if answer:
                with contextlib.suppress(OSError):  # the client has gone
                    connection.send(answer, socket.MSG_DONTWAIT)
        self.record.close()


class Supervisor:
    """Runs `command`, a server that speaks api/handover.py, and holds its sockets.

    `environment` is the process's own.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = command
        self._activated = _activated(environment)
        self._notify = environment.get("NOTIFY_SOCKET", "")
        dropped = {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"}
        self._environment = {name: value for name, value in environment.items() if name not in dropped}
        self._listeners: dict[str, int] = {}
        self._connections: dict[str, _Connection] = {}
        self._numbers = itertools.count()
        self._server: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._ready_at: float | None = None
        self._has_served = False
        self._failures = 0  # servers in a row that died before they listened, or right after
        self._failed_starts = 0  # those of them that did not listen

    def run(self) -> int:
        """Return the exit code of the server once it has stopped, by itself or by a signal, or cannot be started."""
        for number in _FORWARDED:
            signal.signal(number, self._forward)
        while True:
            code = self._run_server()
            was_ready = self._ready_at is not None
            self._has_served = self._has_served or was_ready
            # a server that exits before any has served prints the reason, and would print it again
            gave_up = code > 0 and not self._has_served
            if self._is_stopping() or code == 0 or gave_up or not (was_ready or self._listeners):
                return code if code >= 0 else 128 - code
            if was_ready and time.monotonic() - (self._ready_at or 0) > _RIGHT_AFTER_SECONDS:
                self._failures = 0
            self._failures += 1
            # a server that listened answers what its requests cannot kill, so it is better than no listener
            self._failed_starts = 0 if was_ready else self._failed_starts + 1
            if self._failed_starts > MAX_FAILURES:
                warning(
                    "the server process exited before listening too often, giving up: see its messages above",
                    starts=self._failed_starts,
                    exit_code=code,
                )
                return code if code >= 0 else 128 - code
            warning("the server process ended, starting it again", exit_code=code)
            self._close_unrepeatable(1 if was_ready else _FAILED_START_REPEATS)
            if self._failures > 1:
                time.sleep(min(_FIRST_PAUSE_SECONDS * 2 ** (self._failures - 2), MAX_PAUSE_SECONDS))
            if self._is_stopping():
                return 0

    # --- one server ---

    def _run_server(self) -> int:
        """Start the server and serve its messages until it ends; returns its exit code, or minus its signal."""
        self._ready_at = None
        own, its = Channel.pair()
        self._server = subprocess.Popen(
            self._command,
            env={**self._environment, VARIABLE: str(its.fileno())},
            pass_fds=[its.fileno()],
        )
        its.close()
        if self._is_stopping():  # a signal that came before there was a process to forward it to
            self._server.terminate()
        try:
            self._hand_over(own)
            while message := own.receive():
                if message.kind == "accept":
                    self._accept(own, message.value)
                else:
                    self._handle(message)
        except OSError:
            pass  # it ended before it had everything
        finally:
            own.close()
        return self._server.wait()

    def _hand_over(self, channel: Channel) -> None:
        for name, fd in self._activated.items():
            channel.send("activated", name, fd)
        for name, fd in self._listeners.items():
            channel.send("listen", name, fd)
        for number, connection in self._connections.items():
            channel.send("open", number, connection.fd, connection.record.fd)
        channel.send("begin")

    def _handle(self, message: Message) -> None:
        if message.kind == "listen":
            if message.value in self._listeners:
                os.close(self._listeners[message.value])
            self._listeners[message.value] = message.fds[0]
        elif message.kind == "open" and len(message.fds) == 2:  # noqa: PLR2004 - the connection and its record
            self._connections[message.value] = _Connection(message.fds[0], RequestRecord(message.fds[1]))
        elif message.kind == "close" and message.value in self._connections:
            self._connections.pop(message.value).close()
        elif message.kind == "ready":
            self._is_ready(message.value)

    def _accept(self, channel: Channel, origin: str) -> None:
        """Accept for the server: if it accepted itself, it could die before the connection is known here.

        Connections of a burst are accepted together, since each message of the server wakes both processes.
        """
        kind, _, name = origin.partition(" ")
        fd = (self._listeners if kind == "listen" else self._activated)[name]
        os.set_blocking(fd, False)
        with contextlib.ExitStack() as stack:
            listener = socket.socket(fileno=fd)
            stack.callback(listener.detach)
            has_more = readable(listener)
            for _ in range(MOST_ACCEPTED):
                if not self._accept_one(channel, origin, listener) or not has_more():
                    return

    def _accept_one(self, channel: Channel, origin: str, listener: socket.socket) -> bool:
        with contextlib.ExitStack() as stack:
            try:
                record = RequestRecord.new()
                stack.callback(record.close)
                connection, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                channel.send("none", origin)
                return False
            except OSError as error:  # no descriptor is free
                channel.send("none", f"{origin} {error.strerror}")
                return False
            stack.pop_all()
        number = f"s{next(self._numbers)}"
        kept = self._connections[number] = _Connection(connection.detach(), record)
        channel.send("open", f"{number} {origin}", kept.fd, record.fd)
        return True

    def _is_ready(self, log_form: str) -> None:
        self._ready_at = time.monotonic()
        configure(verbose=False, errors_only=False, as_json=log_form == "json")
        self._notify_systemd("READY=1")

    def _close_unrepeatable(self, count: int) -> None:
        """Close connections with half an answer: their clients see that it is cut off, and not an end."""
        repeated = 0
        for number, connection in list(self._connections.items()):
            request = connection.record.read()
            connection.repeats += count if request else 0
            if request is None or connection.repeats > MAX_REPEATS:
                self._connections.pop(number).close(b"" if request is None else _ANSWER)
            else:
                repeated += bool(request)
        if repeated:
            info("repeating requests that the ended server process had not answered", requests=repeated)

    # --- signals and systemd ---

    def _is_stopping(self) -> bool:
        return self._stopping

    def _forward(self, number: int, _: FrameType | None) -> None:
        if number in _STOP and not self._stopping:
            self._stopping = True
            self._notify_systemd("STOPPING=1")
        if self._server is not None and self._server.returncode is None:
            self._server.send_signal(number)

    def _notify_systemd(self, state: str) -> None:
        """sd_notify(3); a name that starts with @ is an abstract one."""
        if not self._notify:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            try:
                end.sendto(state.encode(), self._notify.replace("@", "\0", 1))
            except OSError as error:
                warning("cannot notify systemd", state=state, reason=error.strerror or error)


def _activated(environment: Mapping[str, str]) -> dict[str, int]:
    """The sockets that systemd passes to this process, by their FileDescriptorName=."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    count = int(environment.get("LISTEN_FDS", "0"))
    return {(names[at] if at < len(names) else ""): _FIRST_ACTIVATED + at for at in range(count)}
