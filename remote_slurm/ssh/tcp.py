"""The bytes under an SSH connection: the TCP socket with its options, and a count of what passed."""

import errno
import socket
import time
from typing import Any, Protocol

from remote_slurm.errors import Unreachable

_REASONS = {
    errno.ECONNREFUSED: "the connection was refused (no sshd there, or a firewall)",
    errno.ECONNRESET: "the connection was reset",
    errno.EHOSTUNREACH: "there is no route to the host",
    errno.ENETUNREACH: "there is no route to its network",
}


class _Socket(Protocol):
    def send(self, data: bytes, /) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class CountedSocket:
    """A socket, or a channel through a jump host, that counts: the only proof of life, and of what may have left."""

    def __init__(self, sock: _Socket) -> None:
        self._sock = sock
        self.sent = 0
        self.received = 0

    def send(self, data: bytes) -> int:
        # Counted first: of a send that fails midway through a jump host, some may have gone. The kernel takes
        # nothing when it fails.
        self.sent += len(data)
        try:
            size = self._sock.send(data)
        except OSError as error:
            if isinstance(error, TimeoutError) or isinstance(self._sock, socket.socket):
                self.sent -= len(data)
            raise
        self.sent -= len(data) - size
        return size

    def recv(self, size: int) -> bytes:
        data = self._sock.recv(size)
        self.received += len(data)
        return data

    def close(self) -> None:
        self._sock.close()

    def __getattr__(self, name: str) -> Any:
        # Paramiko asks its socket for settimeout, getpeername and _closed as well.
        return getattr(self._sock, name)


def open_tcp(host: str, port: int, until: float, silence: float) -> socket.socket:
    """Connect to one of the host's addresses before `until` (time.monotonic); Unreachable says why that
    failed.

    After `silence` seconds without an acknowledgement the kernel gives the connection up.
    """
    where = f"{host} port {port}"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(f"cannot reach {where}: the name does not resolve ({error.strerror})") from error
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(0.1, (until - time.monotonic()) / (len(addresses) - position)))
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            _set_options(sock, silence)
            return sock
    raise Unreachable(f"cannot reach {where}: {reason(last)}") from last


def reason(error: OSError) -> str:
    """What went wrong with a connection, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time (host down, or packets dropped on the way)"
    return _REASONS.get(error.errno or 0) or error.strerror or str(error) or type(error).__name__


def _set_options(sock: socket.socket, silence: float) -> None:
    # Paramiko leaves Nagle's algorithm on, which costs 40 ms per operation.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(silence * 1000))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(silence / 3)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, int(silence / 3)))
