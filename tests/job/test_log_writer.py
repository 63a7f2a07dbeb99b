"""The log of a container under `none`: a pipe and a writer are between the container and its log file."""

import os
import signal
from pathlib import Path

import pytest

from remote_slurm.domain.records import ContainerPhase
from tests.job.node import Node, sh, until

REOPEN = "echo one; echo two >/dev/stderr; echo three >/dev/stdout; echo four | tee /dev/stderr; echo five >&2"
REOPENED = "one\ntwo\nthree\nfour\nfour\nfive\n"


def test_a_container_that_opens_its_output_again_loses_no_line(node: Node) -> None:
    again = f"{REOPEN}; test -e again || {{ : >again; exit 3; }}"
    assert node.run(f"restart_policy OnFailure\ncontainer main {sh(again)}").code == 0
    assert node.log("main") == REOPENED
    assert (node.pod / "logs" / "main.previous.log").read_text() == REOPENED


def test_the_log_is_complete_before_the_end_is_recorded(node: Node) -> None:
    calls = "termination_message - FallbackToLogsOnError\n"
    script = sh("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last; exit 3")
    assert node.run(f"{calls}container main {script}").code == 3
    assert len(node.log("main")) == 3000006
    assert (node.pod / "records" / "main").read_text().split()[-1] == "3000006"
    assert node.ended("main").message.endswith("last")


def test_the_log_writer_is_outside_the_container(node: Node) -> None:
    """A container may signal its process group, and `scancel --full` signals every process of the job."""
    script = (
        'trap : TERM; kill -TERM 0; read -r children </proc/$$/task/$$/children; echo "[$children]"; '
        "until test -e over; do sleep 0.05; done; echo end"
    )
    job = node.start(f"container main {sh(script)}")
    until(lambda: node.log("main").endswith("]\n"))
    writers = [each for each in node.processes() if Path(f"/proc/{each}/fd/1").resolve().name == "main.log"]
    assert len(writers) == 2, "a shell and its cat"
    for number in ("HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "TERM"):
        for writer in writers:
            os.kill(int(writer), signal.Signals[f"SIG{number}"])
    (node.pod / "over").touch()
    assert job.end().code == 0
    assert node.log("main") == "[]\nend\n"


def test_a_process_that_keeps_the_log_open_delays_no_end(node: Node) -> None:
    escape = "setsid sh -c 'while :; do echo late; sleep 0.05; done' & sleep 0.1; exit 4"
    job = node.start(f"container main {sh(escape)}\ncontainer side {sh('until test -e over; do sleep 0.05; done')}")
    until(lambda: (record := node.record("main")) and record.phase is ContainerPhase.TERMINATED)
    length = len(node.log("main"))
    until(lambda: len(node.log("main")) > length)
    (node.pod / "over").touch()
    assert job.end().code == 4
    node.until_empty()


def test_a_full_file_system_ends_no_container_that_prints(small: Path) -> None:
    """What does not fit is lost, and logging goes on once there is room."""
    node = Node(small)
    script = (
        "head -c 700000 /dev/zero >filler; head -c 3000000 /dev/zero; test $? -le 1 || exit 6; rm filler; "
        "until grep -q again logs/main.log; do echo again; sleep 0.05; done; exit 5"
    )
    assert node.run(f"container main {sh(script)}").code == 5
    assert node.ended("main").exit_code == 5


def test_the_log_is_for_the_owner_only(node: Node) -> None:
    assert node.run(f"container main {sh(REOPEN)}").code == 0
    assert (node.pod / "logs" / "main.log").stat().st_mode & 0o777 == 0o600


# job.sh again, where /dev has nothing but these
BARE_DEV = """
[[ -n ${BARE-} ]] || BARE=yes exec unshare --mount --propagation private "$BASH" -c '
    mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9 && exec "$BASH" job.sh'
"""


def test_a_node_without_dev_fd_has_logs_too(node: Node) -> None:
    if os.geteuid():
        pytest.skip("only root may mount")
    script = sh("echo one; echo two >&2; test -e again || { : >again; exit 3; }")
    assert node.run(f"restart_policy OnFailure\ncontainer main {script}", prefix=BARE_DEV).code == 0
    assert node.log("main") == "one\ntwo\n"
    assert not list((node.pod / ".runner").glob("*pipe"))
