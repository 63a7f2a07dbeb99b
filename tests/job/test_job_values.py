"""job_values.sh: what only the job knows, in the pod's files."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.job.node import Node, sh

FILE = "secret/env/main"


def filled(node: Node, text: bytes, *calls: str, prefix: str = "", run: int = 0) -> bytes:
    path = node.pod / FILE
    if not run:
        path.parent.mkdir()
        path.write_bytes(text)
        path.chmod(0o440)
    reported = node.start("\n".join([*calls, f"fill_in {FILE}", f"cp -p {FILE} seen"]), prefix=prefix, run=run)
    assert reported.end().code == 0
    assert (node.pod / "seen").stat().st_mode & 0o777 == 0o440
    (node.pod / "seen").chmod(0o600)
    return (node.pod / "seen").read_bytes()


def test_marks_are_replaced_and_nothing_else_changes(node: Node) -> None:
    """Also where one mark begins as another one does."""
    text = b"A=m-memory-1-1.\0B='m-memory-1-1024.'m-cpu-1000-1.m-cpu-1-1.\r\nm-node-1-1.\xff\n\nm-memory-1-10"
    calls = ["memory-1-1", "memory-1-1024", "cpu-1-1", "cpu-1000-1", "node-1-1"]
    seen = filled(
        node,
        text,
        *(f"job_value m-{each}. {each.replace('-', ' ')}" for each in calls),
        prefix="export SLURM_CPUS_ON_NODE=3 SLURM_MEM_PER_NODE=2 SLURMD_NODENAME=n7",
    )
    assert seen == b"A=2097152\0B='2048'30003\r\nn7\xff\n\nm-memory-1-10"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ("SLURM_MEM_PER_CPU=100 SLURM_CPUS_ON_NODE=4", str(400 << 20)),
        ("SLURM_MEM_PER_NODE=1", str(1 << 20)),
        ("SLURM_MEM_PER_NODE=0", "the node's"),
        ("X=1", "the node's"),
    ],
)
def test_the_memory_is_the_jobs_or_the_nodes(node: Node, variables: str, expected: str) -> None:
    seen = filled(node, b"m.", "job_value m. memory 1 1", prefix=f"export {variables}").decode()
    whole = int(re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())[1]) << 10
    assert seen == (str(whole) if expected == "the node's" else expected)


def test_amounts_are_rounded_up(node: Node) -> None:
    seen = filled(node, b"m.", "job_value m. memory 1 1000000", prefix="export SLURM_MEM_PER_NODE=1")
    assert seen == b"2"


def test_an_address_is_one(node: Node) -> None:
    assert filled(node, b"m.", "job_value m. address 1 1").strip(b"0123456789abcdef.:") == b""


def test_another_node_fills_in_its_own(node: Node) -> None:
    """Slurm may requeue the job; its secrets stay for that."""
    calls = ["job_value m. node 1 1"]
    assert filled(node, b"m.", *calls, prefix="#SBATCH --requeue\nexport SLURMD_NODENAME=n1") == b"n1"
    (node.pod / "secret" / ".marked").mkdir(parents=True)
    (node.pod / "secret" / "env").mkdir()
    (node.pod / "secret" / ".marked" / FILE.replace("/", "-")).write_bytes(b"m.")
    (node.pod / "secret" / ".marked" / FILE.replace("/", "-")).chmod(0o440)
    assert filled(node, b"", *calls, prefix="export SLURMD_NODENAME=n2", run=1) == b"n2"


def test_the_host_file_has_the_nodes_lines_and_the_pods(node: Node) -> None:
    node.run(f"hosts worker-3 '10.0.0.5 a b'\ncontainer main {sh('cat hosts')}")
    assert node.log("main").endswith("\tworker-3\n10.0.0.5 a b\n")
    assert node.log("main").startswith(Path("/etc/hosts").read_text())
    zone = node.pod / "localtime"
    assert len(zone.read_bytes()) == 54
    shown = subprocess.run(["date", "+%Z %z"], env={"TZ": f":{zone}"}, capture_output=True, text=True, check=True)
    assert shown.stdout == "UTC +0000\n"
