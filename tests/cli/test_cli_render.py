"""`render` shows everything that would be sent, and nothing that is secret."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import EXAMPLES, Done, Program

CONFIG = EXAMPLES / "config" / "quickstart.yaml"
HIDDEN = "not-a-real-token"
SHELLCHECK = Path(sys.executable).parent / "shellcheck"


@pytest.fixture
def rendered(program: Program) -> Done:
    return program("render", "--config", CONFIG, EXAMPLES / "settings-pod.yaml")


def test_the_script_and_the_files(rendered: Done) -> None:
    assert rendered.returncode == 0
    assert rendered.stdout.startswith("#!/bin/bash -p\n# Pod default/settings as a Slurm job")
    assert "#SBATCH --time=5\n" in rendered.stdout
    files = [line.split() for line in rendered.stdout.partition("# The files of the folder")[2].splitlines()[2:]]
    assert ["0400", str(len(HIDDEN)), "secret/volumes/credentials/token"] in files
    assert ["0644", "23", "volumes/settings/greeting.txt"] in files
    assert ["0700", "-", "volumes/work/"] in files


def test_no_secret_is_shown(rendered: Done) -> None:
    assert HIDDEN not in rendered.stdout + rendered.stderr


def test_json(program: Program) -> None:
    done = program("render", "--config", CONFIG, EXAMPLES / "settings-pod.yaml", "--output", "json")
    job = json.loads(done.stdout)
    assert job["script"].startswith("#!/bin/bash -p\n")
    assert {"path": "secret/volumes/credentials/token", "mode": "0400", "size": len(HIDDEN)} in job["files"]
    assert job["warnings"] == []
    assert HIDDEN not in done.stdout


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_job_of_each_example_is_clean_shell(program: Program, example: Path) -> None:
    done = program("render", "--config", CONFIG, example, "--output", "json")
    script = json.loads(done.stdout)["script"]
    # words in quotes are the container's, and runner.sh shares variables with this script
    checked = subprocess.run(
        [SHELLCHECK, "--exclude=SC2016,SC2034", "-"], input=script, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_a_pod_from_standard_input_and_what_it_is_warned_of(program: Program) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
    done = program("render", "--config", CONFIG, "--set", "DefaultMemory=1M", "-", stdin=json.dumps(pod))
    assert done.returncode == 0
    assert "warning: no memory limit is given" in done.stderr


def test_what_cannot_run_is_refused_in_a_sentence(program: Program) -> None:
    pod = {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}]}}
    done = program("render", "--config", CONFIG, "-", stdin=json.dumps(pod))
    assert done.returncode == 1
    assert done.stderr == "remote-slurm: container 'c' has no image: set one\n"


def test_a_pod_of_another_namespace_is_refused_with_the_key_that_does_so(program: Program) -> None:
    """Many files of the Go plugin have `Namespace: vk`, which had no effect there."""
    done = program("render", "--config", CONFIG, "--set", "Namespace=vk", EXAMPLES / "hello-pod.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not in namespace 'vk': Namespace in the sidecar's configuration accepts pods of that" in done.stderr
