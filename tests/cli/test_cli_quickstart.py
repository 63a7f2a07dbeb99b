"""`scripts/quickstart`: the first command that anybody tries."""

import subprocess
from pathlib import Path

import pytest

from tests.sidecar import ENVIRONMENT

# its site has one name, and is made from the tree of the other sites
pytestmark = [pytest.mark.xdist_group("quickstart"), pytest.mark.usefixtures("site")]

QUICKSTART = Path(__file__).parents[2] / "scripts" / "quickstart"
STATE = Path("/run/remote-slurm/quickstart")


def quickstart(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [QUICKSTART, *options], capture_output=True, text=True, check=False, timeout=600, env=ENVIRONMENT
    )


def test_a_pod_from_nothing_and_nothing_left() -> None:
    done = quickstart()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["step 5 of 5", "done"]
    assert "the pod ended with exit code 0" in done.stderr
    assert not STATE.exists()


def test_kept_and_ended() -> None:
    kept = quickstart("--keep")
    try:
        assert kept.returncode == 0, kept.stderr
        assert "scripts/quickstart --down" in kept.stdout
        assert STATE.exists()
        again = quickstart()
        assert again.returncode == 1
        assert again.stderr == "quickstart: it is running already: scripts/quickstart --down ends it\n"
    finally:
        ended = quickstart("--down")
    assert ended.returncode == 0, ended.stderr
    assert not STATE.exists()


def test_an_option_that_it_does_not_have() -> None:
    done = quickstart("--fast")
    assert done.returncode == 2
    assert done.stderr.endswith("quickstart: it has no option --fast\n")
