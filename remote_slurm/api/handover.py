"""What the supervisor and the server process send each other, so that sockets and requests outlive the server.

The supervisor (cli/supervisor.py) starts the server process with one end of a channel. Messages have a kind, a value,
and descriptors:

=========  ==================  ==============================================================
kind       sent by             meaning
=========  ==================  ==============================================================
listen     both                a listening socket, by its name; the supervisor passes it on to the next server
activated  supervisor          a listening socket that systemd passed, by its name
accept     server              accept connections from the socket `KIND NAME`, where KIND is listen or activated
none       supervisor          there is no connection at `KIND NAME`, or none can be accepted: `KIND NAME WHY`
open       both                a connection and the record of its request: `NUMBER`, and after accept `NUMBER KIND NAME`
close      server              the connection with this number has ended
begin      supervisor          there are no more descriptors
ready      server              the server listens; the value is `json` or `text`, the form of its log
=========  ==================  ==============================================================

This module uses the standard library only: the supervisor stays small.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass

# The descriptor of the channel; set for the server process only
VARIABLE = "REMOTE_SLURM_SUPERVISOR_FD"

_MAX_MESSAGE = 4096
_MAX_DESCRIPTORS = 2
_RECEIVING, _ANSWERING = b"R", b"A"
_HEAD = 9  # the state, and the number of bytes of the request
_ROOM = 65536  # for what one call receives


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Its receiver owns the descriptors."""

    kind: str
    value: str
    fds: tuple[int, ...]


class Channel:
    """One end of a connection between the supervisor and the server: messages arrive whole, and in order."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._readable = readable(end)

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Two connected ends."""
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def inherited(cls, number: int) -> Channel:
        """The end with this descriptor. Programs that this process starts do not inherit it again."""
        os.set_inheritable(number, False)  # noqa: FBT003 - positional only
        return cls(socket.socket(fileno=number))

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, kind: str, value: str = "", *fds: int) -> None:
        """Raises OSError if the other end is closed."""
        socket.send_fds(self._end, [f"{kind} {value}".encode()], fds)

    @property
    def has_message(self) -> bool:
        """Whether `receive` would return at once."""
        return self._readable()

    def receive(self) -> Message | None:
        """The next message; None once the other end is closed."""
        try:
            data, fds, _, _ = socket.recv_fds(self._end, _MAX_MESSAGE, _MAX_DESCRIPTORS)
        except ConnectionError:
            return None
        if not data:
            return None
        kind, _, value = data.decode().partition(" ")
        return Message(kind, value, tuple(fds))

    def close(self) -> None:
        self._end.close()


def readable(end: socket.socket) -> Callable[[], bool]:
    """Return a function that returns whether the socket has data, or a connection to accept."""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return lambda: bool(poll.poll(0))


class RequestRecord:
    """The bytes of a request that is not answered yet, in memory that belongs to a descriptor and not to a process.

    The kernel copies what arrives to `room`, so that nothing is lost if the process ends before it has counted that.
    The memory begins with the state, since a request of which an answer was begun cannot be repeated, and with the
    number of bytes. Behind these bytes are zeros, which no request ends with: others have arrived and are not counted.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._answering = False
        self._size = 0
        self._memory: mmap.mmap | None = None

    @classmethod
    def new(cls) -> RequestRecord:
        """Raises OSError if the system has no memory files or no free descriptor."""
        record = cls(os.memfd_create("request"))
        os.pwrite(record.fd, _RECEIVING, 0)
        return record

    def room(self) -> memoryview:
        """Memory for what arrives next: `arrived` counts it."""
        start = _HEAD + self._size
        if self._memory is None or len(self._memory) - start < _ROOM:
            size = max(start + 2 * _ROOM, 2 * start)
            os.ftruncate(self.fd, size)
            self._memory = mmap.mmap(self.fd, size)
        return memoryview(self._memory)[start : start + _ROOM]

    def arrived(self, count: int) -> bytes:
        """Count bytes that have arrived in `room`; after an answer, they belong to the next request."""
        if self._memory is None:
            raise ValueError("room comes first")
        start = _HEAD + self._size
        data = self._memory[start : start + count]
        if self._answering:
            self._memory[start : start + count] = bytes(count)
            self.clear()
            self.room()[:count] = data
        self._set_size(self._size + count)
        return data

    def answer_begins(self) -> None:
        """From now on the request cannot be repeated."""
        if not self._answering:
            self._answering = True
            self._put(_ANSWERING)

    def clear(self) -> None:
        """Forget the request: it was answered, or its connection waits for another one."""
        if self._memory is not None and _HEAD + self._size <= _ROOM:
            self._put(_ANSWERING)  # not repeated while half of it is gone
            self._memory[_HEAD : _HEAD + self._size] = bytes(self._size)
            self._set_size(0)
        else:
            self._memory = None
            os.ftruncate(self.fd, 0)
        self._put(_RECEIVING)
        self._answering = False
        self._size = 0

    def read(self) -> bytes | None:
        """What was recorded, by this process or one before it; None if an answer was begun."""
        size = os.fstat(self.fd).st_size
        content = bytearray()
        while len(content) < size and (part := os.pread(self.fd, size - len(content), len(content))):
            content += part
        if content[:1] != _RECEIVING:
            return None
        end = _HEAD + int.from_bytes(content[1:_HEAD], "little")
        data = bytes(content[_HEAD:end]) + bytes(content[end:]).rstrip(b"\0")
        self._set_size(len(data))
        return data

    def _set_size(self, size: int) -> None:
        self._size = size
        self._put(size.to_bytes(_HEAD - 1, "little"), 1)

    def _put(self, data: bytes, at: int = 0) -> None:
        if self._memory is None:
            os.pwrite(self.fd, data, at)
        else:
            self._memory[at : at + len(data)] = data

    def close(self) -> None:
        self._memory = None
        os.close(self.fd)
