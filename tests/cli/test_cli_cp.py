"""`remote-slurm cp` and `exec`: what is wrong with their arguments, in a sentence."""

import argparse
from pathlib import Path

import pytest

from remote_slurm.cli import cp
from remote_slurm.errors import RemoteSlurmError


@pytest.mark.parametrize(
    ("source", "target", "problem"),
    [
        ("a", "b", "one of SOURCE and TARGET must be POD:PATH"),
        ("ns/pod:/a", "ns/pod:/b", "one of SOURCE and TARGET must be POD:PATH"),
        ("", "ns/pod:/b", "must not be empty"),
        ("ns/pod:/a", "", "must not be empty"),
        ("ns/pod:", "b", "invalid argument 'ns/pod:': must be POD:PATH"),
        (":/a", "b", "invalid argument ':/a': must be POD:PATH"),
        ("./nothing:here", "ns/pod:/b", "does not exist here"),
        ("ns/pod:/a", "nothing/here", "there is no folder 'nothing' to write to"),
        ("ns/pod:..", "nothing", "must be a folder"),
    ],
)
def test_a_wrong_path_is_a_sentence(
    source: str, target: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = argparse.Namespace(source=source, target=target, container="", namespace="default", no_preserve=False)
    with pytest.raises(RemoteSlurmError, match=problem):
        cp.run(arguments)
