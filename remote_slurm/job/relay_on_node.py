"""Connects to ports of the node for the sidecar, many at once, over standard input and output: site/relay.py says how.

The same as relay.pl, for nodes without perl. Its text is sent to the node, for Python 3.6 and later. Ends with its
input, or if nothing has come for some seconds: a connection that is frozen ends nothing.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

ROOM, CHUNK, MOST_HELD = 1 << 20, 32 << 10, 256 << 10
HEADER = struct.Struct("!cII")


class Connection:
    """One connection to a port, and what waits to be written to it."""

    def __init__(self, relay: "Relay", number: int, port: int) -> None:
        self.relay, self.number = relay, number
        self.addresses = [
            (socket.AF_INET, ("127.0.0.1", port)),
            (socket.AF_INET6, ("::1", port)),
        ]
        # The node's own address comes last: a program may listen on that alone
        with contextlib.suppress(OSError):
            self.addresses += [
                (socket.AF_INET, (each, port)) for each in socket.gethostbyname_ex(socket.gethostname())[2]
            ]
        self.socket: Any = None  # a socket as soon as there is an address
        self.connecting = self.sent_all = self.read_all = self.shut = False
        self.data, self.why, self.credit, self.written = bytearray(), "", 0, 0

    def try_next(self) -> None:
        """Connect to the next address of the port, as long as there is one."""
        while self.addresses:
            family, address = self.addresses.pop(0)
            try:
                self.socket = socket.socket(family, socket.SOCK_STREAM)
                self.socket.setblocking(False)  # noqa: FBT003 - positional only
                code = self.socket.connect_ex(address)
            except OSError as error:
                code = error.errno or errno.EIO
            if self.socket and code in (0, errno.EINPROGRESS):
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connecting = True
                return
            self.why = self.why or os.strerror(code)
        del self.relay.connections[self.number]
        words = self.why.encode()
        self.relay.emit(b"R", self.number, len(words), words)

    def connected(self) -> None:
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.why = self.why or os.strerror(code)
            self.socket.close()
            self.try_next()
            return
        self.connecting = False
        self.relay.emit(b"A", self.number)
        self.end_if_over()

    def end(self) -> None:
        del self.relay.connections[self.number]
        if self.socket:
            self.socket.close()
        self.relay.emit(b"C", self.number)

    def end_if_over(self) -> None:
        if self.data or not self.sent_all:
            return
        if not self.shut:
            self.shut = True
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
        if self.read_all:
            self.end()

    def write(self) -> None:
        try:
            size = self.socket.send(self.data[:CHUNK])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.end()
            return
        del self.data[:size]
        self.written += size
        if self.written >= ROOM // 8:
            self.relay.emit(b"W", self.number, self.written)
            self.written = 0
        self.end_if_over()

    def read(self) -> None:
        try:
            data = self.socket.recv(min(self.credit, CHUNK))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.end()
            return
        if data:
            self.credit -= len(data)
            self.relay.emit(b"D", self.number, len(data), data)
        else:
            self.read_all = True
            self.relay.emit(b"E", self.number)
            self.end_if_over()


class Relay:
    """All connections, and both ends of the pipe to the sidecar."""

    def __init__(self, hello: str, quiet: float) -> None:
        self.quiet = quiet
        self.input, self.output = bytearray(), bytearray(hello.encode() + b"\n")
        self.connections = {}  # type: dict[int, Connection]
        self.listening = []  # type: list[socket.socket]
        self.heard = time.monotonic()
        os.set_blocking(1, False)

    def emit(self, kind: bytes, connection: int, number: int = 0, data: bytes = b"") -> None:
        self.output += HEADER.pack(kind, connection, number) + data

    def run(self) -> None:
        while self.turn():
            pass

    def turn(self) -> bool:
        """Wait until something can be done, and do it. False: the input has ended."""
        poll, by_fd = select.poll(), {}
        poll.register(0, select.POLLIN)
        if self.output:
            poll.register(1, select.POLLOUT)
        for each in self.connections.values():
            reads = not each.connecting and not each.read_all and each.credit > 0 and len(self.output) < MOST_HELD
            wanted = (select.POLLIN if reads else 0) | (select.POLLOUT if each.connecting or each.data else 0)
            if wanted:
                by_fd[each.socket.fileno()] = each, wanted
                poll.register(each.socket.fileno(), wanted)
        ready = dict(poll.poll(1000 * min(self.quiet, 5)))
        if time.monotonic() - self.heard > self.quiet:
            return False
        if 1 in ready:
            with contextlib.suppress(BlockingIOError, InterruptedError):
                del self.output[: os.write(1, self.output[: 2 * CHUNK])]
        for number in set(ready) - {0, 1}:
            self.serve(*by_fd[number])
        return 0 not in ready or self.take()

    def serve(self, connection: Connection, wanted: int) -> None:
        if connection.connecting:
            connection.connected()
            return
        if wanted & select.POLLOUT:
            connection.write()
        if wanted & select.POLLIN and connection.number in self.connections:
            connection.read()

    def take(self) -> bool:
        data = os.read(0, 2 * CHUNK)
        self.heard = time.monotonic()
        self.input += data
        while len(self.input) >= HEADER.size:
            kind, connection, number = HEADER.unpack(self.input[: HEADER.size])
            end = HEADER.size + (number if kind == b"D" else 0)
            if len(self.input) < end:
                break
            data_of_frame = bytes(self.input[HEADER.size : end])
            del self.input[:end]
            self.handle(kind, connection, number, data_of_frame)
        return bool(data)

    def free_port(self) -> int:
        """Listen as long as the relay runs, and accept nothing: the kernel answers. Return 0 if that fails."""
        try:
            listener = socket.socket()
            self.listening.append(listener)
            listener.bind(("", 0))
            listener.listen(1)
        except OSError:
            return 0
        return int(listener.getsockname()[1])

    def handle(self, kind: bytes, connection: int, number: int, data: bytes) -> None:
        if kind == b"O":
            self.connections[connection] = Connection(self, connection, number)
            self.connections[connection].try_next()
            return
        if kind == b"P":
            self.emit(b"P", 0)
            return
        if kind == b"L":
            self.emit(b"L", 0, self.free_port())
            return
        found = self.connections.get(connection)
        if found is None:
            return
        if kind == b"D":
            found.data += data
        elif kind == b"W":
            found.credit += number
        elif kind == b"E":
            found.sent_all = True
            if not found.connecting:
                found.end_if_over()
        elif kind == b"C":
            found.end()


if __name__ == "__main__":
    # Slurm sends signals that a pod asks for (--signal=USR1@600) to all steps of the job. TERM comes with its end
    for each in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGALRM):
        signal.signal(each, signal.SIG_IGN)
    Relay(sys.argv[1], float(sys.argv[2])).run()
