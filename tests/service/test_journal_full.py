"""A StateFolder without room: a delete is not accepted, and accepted ones are kept."""

import subprocess
from pathlib import Path

import pytest

from remote_slurm.service.journal import Delete, Journal, JournalError


def test_a_delete_that_cannot_be_written_down_is_refused_in_a_sentence(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")
    try:
        journal = Journal(tmp_path)
        journal.add(Delete("ns-1", "ns/first", 30))
        subprocess.run(["dd", "if=/dev/zero", f"of={tmp_path}/fill", "bs=4k"], check=False, capture_output=True)
        with pytest.raises(JournalError, match=r"the delete could not be written to .*: No space left on device"):
            journal.add(Delete("ns-2", "ns/second", 30))
        assert [delete.pod for delete in journal] == ["ns-1"]
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
