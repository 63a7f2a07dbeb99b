"""When the lines of a log were written, by what the runner noted of its length."""

import pytest

from remote_slurm.domain.status.log_slice import Noted, Stamper, parse_notes

NOTES = [Noted(size=6, time=100), Noted(size=12, time=200)]


def test_notes_are_read_and_other_lines_are_left_out() -> None:
    assert parse_notes(["100 6", "", "x 7", "200 12", "30"]) == NOTES


def test_a_log_that_was_cut_short_begins_anew() -> None:
    assert parse_notes(["100 6000", "200 9000", "300 10"]) == [Noted(10, 300)]


@pytest.mark.parametrize(
    ("start", "data", "stamped"),
    [
        (0, b"aaaaa\nbbbbb\n", b"1970-01-01T00:01:40Z aaaaa\n1970-01-01T00:03:20Z bbbbb\n"),
        (6, b"bbbbb\n", b"1970-01-01T00:03:20Z bbbbb\n"),
        (12, b"new\n", b"1970-01-01T00:05:00Z new\n"),
        (0, b"a\rb\n", b"1970-01-01T00:01:40Z a\rb\n"),
        (0, b"", b""),
        (0, b"no newline", b"1970-01-01T00:01:40Z no newline"),
    ],
)
def test_a_line_is_as_old_as_the_first_note_that_covers_it(start: int, data: bytes, stamped: bytes) -> None:
    assert Stamper(start, NOTES).stamp(data, now=300) == stamped


def test_a_line_that_comes_in_pieces_is_stamped_once() -> None:
    stamper = Stamper(0, NOTES)
    pieces = [stamper.stamp(piece, now=300) for piece in (b"aa", b"aaa", b"\nb", b"bbbb\n")]
    assert b"".join(pieces) == b"1970-01-01T00:01:40Z aaaaa\n1970-01-01T00:03:20Z bbbbb\n"
