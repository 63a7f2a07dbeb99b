"""What a job is sent of the runner: its core, and the parts that its calls need."""

import re
import subprocess
from pathlib import Path

import pytest

from remote_slurm.domain.plan.job_parts import parts_used
from remote_slurm.job import SCRIPTS, source
from tests.job.node import BASH, Node, sh

GOLDEN = Path(__file__).parent.parent / "domain" / "golden"
PROGRAMS = {"rank.sh", "pull.sh", "mounts.sh"}
PARTS = [name for name in SCRIPTS if name not in {"runner.sh", *PROGRAMS}]
CORE = ("runner", "globals", "cleanup", "stop", "supervise", "start_errors")


def test_the_core_is_small() -> None:
    assert len(SCRIPTS["runner.sh"]) < 25_000


def test_each_call_in_a_job_script_is_explained_in_what_the_site_has() -> None:
    """In comments of runner.sh, or of the parts that the call needs."""
    calls = {
        words[0]
        for path in GOLDEN.glob("*.job")
        for line in path.read_text().splitlines()
        if len(words := line.split()) > 1
    }
    for call in calls - {"main"}:
        brought = [SCRIPTS[name].decode() for name in ("runner.sh", *parts_used(call, SCRIPTS))]
        if any(f"\n{call}() {{" in script for script in brought):
            assert any(re.search(rf"^#.*\b{call}\b", script, re.MULTILINE) for script in brought), call


@pytest.mark.parametrize("name", [name.removesuffix(".sh") for name in PARTS])
def test_a_part_without_comments_is_the_same_shell(name: str) -> None:
    assert definitions(SCRIPTS[f"{name}.sh"]) == definitions(source(name))


def test_the_core_without_comments_is_the_same_shell() -> None:
    assert definitions(SCRIPTS["runner.sh"]) == definitions(b"\n".join(source(name) for name in CORE))


def definitions(script: bytes) -> bytes:
    shown = subprocess.run([BASH, "-c", f"{script.decode()}\ndeclare -f"], capture_output=True, check=True)
    assert shown.stdout
    return shown.stdout


@pytest.mark.parametrize("name", PARTS)
def test_a_part_brings_the_functions_that_it_calls(name: str) -> None:
    """Bash says which commands it would not find: each word in the place of a command, in a shell with what is sent."""
    own = re.findall(r"^(\w+)\(\)", SCRIPTS[name].decode(), re.MULTILINE)
    sent = ["runner.sh", *parts_used("\n".join(own), SCRIPTS)]
    known = {each for script in sent for each in re.findall(r"^(\w+)\(\)", SCRIPTS[script].decode(), re.MULTILINE)}
    every = {each for part in PARTS for each in re.findall(r"^(\w+)\(\)", SCRIPTS[part].decode(), re.MULTILINE)}
    body = re.sub(r"'[^']*'|\"[^\"]*\"", "''", definitions(SCRIPTS[name]).decode(errors="replace"))
    called = {
        words[0]
        for line in re.split(r"[\n;&|(){}]|\b(?:if|then|do|else|elif|while|until)\b|!", body)
        if (words := line.split())
    }
    assert not (called & every) - known


def test_a_plain_pod_brings_no_part(node: Node) -> None:
    calls = f"container main {sh('echo done')}"
    assert node.run(calls).code == 0
    assert (node.pod / "runner.sh").read_bytes() == SCRIPTS["runner.sh"]
    assert node.log("main") == "done\n"


def test_a_runner_that_cannot_be_read_starts_no_container(node: Node) -> None:
    script = f'{node.sources("")}container() {{ "${{@:2}}"; }}\ncontainer main touch started\nfinish\n'
    (node.pod / "runner.sh").unlink()
    (node.pod / "job.sh").write_text(script)
    done = subprocess.run([BASH, "job.sh"], cwd=node.pod, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "remote-slurm: the runner cannot be read, so no container starts" in done.stdout
    assert not (node.pod / "started").exists()
