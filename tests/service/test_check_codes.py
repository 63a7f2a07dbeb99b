"""A full file system or quota has a code, whichever command met it."""

import pytest

from remote_slurm.errors import Code, RemoteFailed
from remote_slurm.site.reply import Reply


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("mkdir: cannot create directory '/r': No space left on device", Code.NO_SPACE),
        ("mkdir: cannot create directory '/r': Disk quota exceeded", Code.NO_SPACE),
        ("mkdir: cannot create directory '/r': Permission denied", None),
    ],
)
def test_a_root_that_cannot_be_made_says_whether_space_is_missing(message: str, code: Code | None) -> None:
    with pytest.raises(RemoteFailed, match="DataRootFolder /r cannot be used") as raised:
        Reply.parse("check_folder", f"{message}\n>unusable /r\n")
    assert raised.value.code is code


def test_a_reply_says_whether_a_command_had_no_space() -> None:
    assert Reply.parse("check_folder", "sh: printf: I/O error: No space left on device\n>free 0\n").is_out_of_space
    assert not Reply.parse("check_folder", "sh: cannot create x: Permission denied\n>free 9\n").is_out_of_space
