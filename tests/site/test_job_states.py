"""Scripts at the site and the state machine in Python agree on the states of a job."""

import re
from fnmatch import fnmatchcase

import pytest

from remote_slurm.domain.slurm.job_states import JobPhase, JobState
from remote_slurm.site.operation import script_text


@pytest.mark.parametrize("state", [state for state in JobState if state.phase is JobPhase.WAITING])
def test_a_job_that_waits_is_cancelled_without_a_signal(state: JobState) -> None:
    patterns = re.search(r"^ +(PENDING \|.*)\) to_cancel=", script_text("delete"), re.MULTILINE)
    assert patterns
    assert any(fnmatchcase(state.value, pattern) for pattern in patterns[1].split(" | "))
