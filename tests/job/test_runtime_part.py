"""What a runtime does in its own way: the runner asks the functions of its part, and knows no runtime by name."""

import re

import pytest

from remote_slurm.job import source
from tests.job.node import Node, sh, until
from tests.toy_runtime import TOY_PART

GENERIC = (
    "runner", "cleanup", "stop", "supervise", "start_errors", "recheck_mounts", "missing_volumes", "messages",
    "image_config", "working_dirs", "exec_in_container", "gpus", "restarts", "mounts", "images", "from_image",
)  # fmt: skip


@pytest.fixture
def toy(node: Node) -> str:
    """The calls by which a job uses the toy."""
    (node.pod / "toy.sh").write_bytes(TOY_PART)
    return ". ./toy.sh\nuse_toy\ntoy_storage\n"


@pytest.mark.parametrize("name", GENERIC)
def test_no_other_part_asks_which_runtime_it_is(name: str) -> None:
    code = re.sub(r"(?m)^\s*#.*|\s# .*$", "", source(name).decode())
    assert not re.findall(r"apptainer|singularity|podman|enroot", code, re.IGNORECASE)


def test_its_storage_is_there_before_and_gone_after_its_containers(node: Node, toy: str) -> None:
    ended = node.run(f"{toy}container main true")
    said = ["the toy is unpacked", "the toy is put away"]
    assert ended.output.splitlines() == [f"remote-slurm: {each}" for each in said]


@pytest.mark.parametrize(("line", "code", "reason"), [("toy: broken", 128, "StartError"), ("fine", 9, "Error")])
def test_its_own_words_are_a_start_error(node: Node, toy: str, line: str, code: int, reason: str) -> None:
    node.run(f"{toy}container main {sh(f'echo {line}; exit 9')}")
    assert (node.ended("main").exit_code, node.ended("main").reason) == (code, reason)


def test_a_working_directory_that_is_missing_is_mounted_in_its_way(node: Node, toy: str) -> None:
    script = sh('[ $# = 1 ] || { echo "toy: no such folder"; exit 9; }; echo "$1"')
    assert node.run(f"{toy}work_in_image /work\ncontainer main {script} sh").code == 0
    assert node.log("main") == "scratch/.work/main:/work\n"


def test_the_stop_signal_of_an_image_is_read_in_its_way(node: Node, toy: str) -> None:
    program = node.root / "toy"
    program.write_text('#!/bin/sh\n[ "$*" = "signal i.toy" ] && echo SIGUSR1\n')
    program.chmod(0o755)
    script = sh("trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done")
    job = node.start(f"{toy}image_config i.toy own {program}\ncontainer main {script}")
    until(lambda: node.is_running("main") and node.log("main") == "up\n")
    job.term()
    assert job.end().code == 7


def test_what_outlives_its_process_is_ended_before_a_restart(node: Node, toy: str) -> None:
    calls = f"restart_policy OnFailure\ncontainer main {sh('[ -e again ] || { touch again; exit 3; }')}"
    assert node.run(f"{toy}{calls}").code == 0
    assert (node.pod / "ended").read_text() == "main\n"


def test_variables_of_the_gpus_are_passed_on_in_its_way(node: Node, toy: str) -> None:
    script = sh("echo $TOY_CUDA_VISIBLE_DEVICES")
    node.run(f"{toy}export CUDA_VISIBLE_DEVICES=1,2\ngpus\ncontainer main {script}")
    assert node.log("main") == "1,2\n"
