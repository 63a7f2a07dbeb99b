"""What a connection counts as sent: whatever may have left, and nothing else. An outcome is unknown by that."""

import socket

import pytest

from remote_slurm.ssh.tcp import CountedSocket

DATA = b"x" * 10


class Way:
    """What is below a connection: takes so many bytes of each send, or fails."""

    def __init__(self, takes: int | OSError) -> None:
        self.takes = takes
        self.wire = CountedSocket(self)
        self.counted: list[int] = []

    def send(self, data: bytes, /) -> int:
        self.counted.append(self.wire.sent)
        if isinstance(self.takes, OSError):
            raise self.takes
        return min(self.takes, len(data))

    def recv(self, size: int, /) -> bytes:
        return DATA[:size]

    def close(self) -> None:
        pass


def test_what_was_taken_is_counted_and_before_it_leaves() -> None:
    """Whoever looks meanwhile must not take it for never sent."""
    way = Way(4)
    assert [way.wire.send(DATA) for _ in range(2)] == [4, 4]
    assert way.counted == [10, 14]
    assert way.wire.sent == 8


@pytest.mark.parametrize(
    ("error", "sent"), [(ConnectionResetError(), 10), (TimeoutError(), 0)], ids=["cut midway", "no room in time"]
)
def test_of_a_send_that_fails_behind_a_jump_host_some_may_have_gone(error: OSError, sent: int) -> None:
    way = Way(error)
    with pytest.raises(type(error)):
        way.wire.send(DATA)
    assert way.wire.sent == sent


def test_the_kernel_has_taken_nothing_of_a_send_that_fails() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        wire = CountedSocket(ours)
        theirs.close()
        with pytest.raises(OSError, match="pipe"):
            wire.send(DATA)
        assert wire.sent == 0


def test_what_comes_is_counted_as_well() -> None:
    wire = Way(0).wire
    assert wire.recv(3) == DATA[:3]
    assert wire.received == 3
