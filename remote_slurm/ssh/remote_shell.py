"""One shell at the site that waits for scripts: a channel opened in advance, so that asking costs one round trip.

Every method but `stop` may block for as long as the peer likes, and belongs into a thread. `close`, or the end of the
link, makes them return: there is no other sure way to cancel what Paramiko waits for.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import paramiko

from remote_slurm.errors import NotSent, OutcomeUnknown
from remote_slurm.ssh.connect import PACKET, WINDOW, Transport
from remote_slurm.ssh.framing import Frame, FramedOutput, KeptTexts, Request, bootstrap, nonce, ready_mark

_CHUNK = 32 * 1024
_READ = 1024 * 1024
_OUTPUT_LIMIT = 64 * 1024 * 1024
_REMEMBERED_NOISE = 4096
_SHOWN_NOISE = 200
# Takes each piece of what a script prints, as it comes
OnOutput = Callable[[bytes], None]
_FAILURES = (paramiko.SSHException, EOFError, OSError)


ANOTHER_SHELL = (
    "a startup file of the account, such as ~/.bashrc, may start another shell (exec fish) or wait for input: "
    "it should do that in interactive shells only (case $- in *i*)"
)


class NoSession(NotSent):
    """The site refuses another session on this connection (MaxSessions of its sshd): wait for one to end."""


class DeadSession(NotSent):
    """The session had died before anything was sent: another one may be asked at once."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a script printed, standard output and error in their order, and how it ended."""

    exit_code: int
    output: bytes


class Shell:
    """A session on `link`; it serves one script at a time, and the next one after that."""

    def __init__(self, link: Transport) -> None:
        self.link = link
        self.born = self.sent_at = self.used = time.monotonic()
        self._channel: paramiko.Channel | None = None
        self._lock = threading.Lock()
        self._stopped = False
        self.noise = b""  # the last of what came before the shell answered
        self.round_trip: float | None = None  # seconds from the end of the last frame to the first of its answer
        self._kept = KeptTexts()
        self._script_end = 1
        self._handed = 0
        self._sent_before = link.wire.sent
        self._received_before = link.wire.received

    @property
    def channel(self) -> paramiko.Channel:
        """The channel, which is open. Raises EOFError if the site has not granted it."""
        return self._opened()

    @property
    def opened(self) -> bool:
        """Whether the site has granted the session."""
        return self._channel is not None

    @property
    def alive(self) -> bool:
        """Whether the shell can be asked, as far as is known here."""
        channel = self._channel
        return bool(channel and self.link.alive and not (self._stopped or channel.closed or channel.eof_received))

    @property
    def slot_is_free(self) -> bool:
        """Whether the site, too, has closed the session: only then does its sshd count one less."""
        if self._channel is None or not self.link.alive:
            return True
        # Paramiko has no event for a channel that the other side has closed; it only removes the channel.
        known = self.link.transport._channels  # type: ignore[attr-defined]  # noqa: SLF001
        return known.get(self._channel.chanid) is None

    @property
    def silent(self) -> bool:
        """Whether not one byte has come over the whole connection since this shell was last asked."""
        return self.link.wire.received == self._received_before

    def open(self) -> None:
        """Open the channel and wait until the shell answers; NoSession, or NotSent with what went wrong."""
        try:
            self._start(self._open_channel())
        except _FAILURES as error:
            raise NotSent(f"no shell could be started at {self.link.host}: {_words(error)}") from error

    def run(self, request: Request, on_output: OnOutput | None = None) -> Result:
        """Send the request and collect the answer, telling each piece of it; NotSent, OutcomeUnknown."""
        asked = self._kept.frame(request)
        answer = FramedOutput(asked)
        parts: list[bytes] = []
        size = 0
        self.send(asked)
        sent = time.monotonic()
        while answer.exit_code is None:
            data = self.receive()
            self.round_trip = time.monotonic() - sent if not parts else self.round_trip
            parts.append(answer.feed(data))
            size += len(parts[-1])
            if on_output and parts[-1]:
                on_output(parts[-1])
            if size > _OUTPUT_LIMIT:
                raise OutcomeUnknown(f"the reply of {self.link.host} is longer than {_OUTPUT_LIMIT >> 20} MiB")
        self.used = time.monotonic()
        return Result(answer.exit_code, b"".join(parts))

    def send(self, request: Frame) -> None:
        """Write the frame. An error says whether its script can have arrived."""
        self._script_end, self._handed, self.sent_at = request.script_end, 0, time.monotonic()
        self._sent_before, self._received_before = self.link.wire.sent, self.link.wire.received
        view = memoryview(request.data)
        sent = 0
        try:
            while sent < len(view):
                sent += self._send_some(bytes(view[sent : sent + _CHUNK]))
        except _FAILURES as error:
            raise self._lost(error) from error

    def receive(self) -> bytes:
        """The next bytes that the session printed; waits for as long as it takes."""
        try:
            data = self._opened().recv(_READ)
        except _FAILURES as error:
            raise self._lost(error) from error
        if not data:
            raise self._lost(EOFError("the session ended"))
        return data

    def stop(self) -> bool:
        """Let nothing more of a frame leave, and say whether its script may have arrived; never blocks."""
        with self._lock:
            self._stopped = True
            return self._handed >= self._script_end

    def close(self) -> None:
        """End the session at this side; what blocks on it returns at once."""
        self.stop()
        if self._channel:
            self._channel.close()

    def _open_channel(self) -> paramiko.Channel:
        try:
            channel = self.link.transport.open_session(window_size=WINDOW, max_packet_size=PACKET)
        except paramiko.ChannelException as error:
            raise NoSession(f"{self.link.host} allows no further session ({error.text})") from error
        except paramiko.SSHException as error:
            # Of several channels that are refused at once, Paramiko gives only one the reason.
            if self.link.alive and "Unable to open channel" in str(error):
                raise NoSession(f"{self.link.host} allows no further session") from error
            raise
        with self._lock:
            self._channel = channel
        if self._stopped:
            channel.close()
        return channel

    def _start(self, channel: paramiko.Channel) -> None:
        channel.set_combine_stderr(True)
        channel.exec_command("exec /bin/sh")
        ready = nonce()
        send_unless_closed(channel, bootstrap(ready))
        while ready_mark(ready) not in self.noise:
            data = channel.recv(_READ)
            self.noise = (self.noise + data)[-_REMEMBERED_NOISE:]
            if not data:
                raise EOFError(f"the login shell ended, and printed {shown(self.noise)}")

    def _send_some(self, chunk: bytes) -> int:
        with self._lock:
            if self._stopped:
                raise EOFError("the session was given up")
            self._handed += len(chunk)
        size = self._opened().send(chunk)
        if size == 0:
            raise EOFError("the site has closed the session")
        self._handed -= len(chunk) - size
        return size

    def _lost(self, error: Exception) -> NotSent | OutcomeUnknown:
        """The error for a frame whose answer will not come; for the thread that sent it."""
        if self._handed < self._script_end or self.link.wire.sent == self._sent_before:
            return DeadSession(f"nothing was sent to {self.link.host}: {_words(error)}")
        return OutcomeUnknown(f"sent to {self.link.host}, but the reply was lost: {_words(error)}")

    def _opened(self) -> paramiko.Channel:
        if self._channel is None:
            raise EOFError("the session is not open")
        return self._channel


def _words(error: Exception) -> str:
    return str(error) or "the connection is gone"


def shown(output: bytes) -> str:
    """The end of what a session printed, which usually has the reason."""
    text = output[-_SHOWN_NOISE:].decode(errors="replace").strip()
    return repr(text) if text else "nothing"


def send_unless_closed(channel: paramiko.Channel, data: bytes) -> None:
    """Send `data`. A login shell that ended at once has closed its channel: what it printed can still be read."""
    try:
        channel.sendall(data)
    except OSError:
        if not channel.closed:
            raise
