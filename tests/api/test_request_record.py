"""The record of a request that is not answered yet: the next server reads what the last one has received."""

import os
from collections.abc import Iterator

import pytest

from remote_slurm.api.handover import RequestRecord


@pytest.fixture
def record() -> Iterator[RequestRecord]:
    record = RequestRecord.new()
    yield record
    record.close()


def receive(record: RequestRecord, data: bytes, *, counted: bool = True) -> None:
    while data:
        room = record.room()
        part, data = data[: len(room)], data[len(room) :]
        room[: len(part)] = part
        if counted:
            assert record.arrived(len(part)) == part


def read(record: RequestRecord) -> bytes | None:
    """As the next server reads it."""
    other = RequestRecord(os.dup(record.fd))
    try:
        return other.read()
    finally:
        other.close()


def test_what_has_arrived_is_there_counted_or_not(record: RequestRecord) -> None:
    assert read(record) == b""
    receive(record, b"POST /create\r\n")
    receive(record, b"\r\n", counted=False)
    assert read(record) == b"POST /create\r\n\r\n"


@pytest.mark.parametrize("size", [10, 65536, 1_000_000])
def test_an_answered_request_leaves_nothing(record: RequestRecord, size: int) -> None:
    for letter in (b"a", b"b"):
        receive(record, size * letter)
        assert read(record) == size * letter
        record.answer_begins()
        assert read(record) is None
        record.clear()
        assert read(record) == b""


def test_what_arrives_after_an_answer_was_begun_is_the_next_request(record: RequestRecord) -> None:
    receive(record, b"the first one")
    record.answer_begins()
    receive(record, b"next")
    assert read(record) == b"next"


def test_the_next_server_adds_what_it_receives(record: RequestRecord) -> None:
    receive(record, b"PO", counted=False)
    following = RequestRecord(os.dup(record.fd))
    assert following.read() == b"PO"
    receive(following, b"ST")
    assert read(record) == b"POST"
    following.close()
