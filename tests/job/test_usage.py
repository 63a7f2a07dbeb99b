"""What a job measures of itself: its own cgroup, else the times of its processes; and no number that it cannot know."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_slurm.domain.job_usage import JobUsage, Source
from tests.job.node import Node, sh, until

BUSY = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
RESERVED = "export SLURM_JOB_NUM_NODES=1 SLURM_CPUS_ON_NODE=4 SLURM_MEM_PER_CPU=512 SLURM_JOB_GPUS=0,3"
GIB = 1 << 30


def start(name: str, script: str) -> str:
    return f"container {name} {sh(script)}"


def used(node: Node, name: str = "c") -> JobUsage:
    usage = node.ended(name).usage
    assert usage is not None
    return usage


class Kernel:
    """What /proc/self has of cgroups, in a folder, and the files of a cgroup."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = folder / "mounted"
        self.mounted.mkdir(parents=True)
        self.mount("/", "cgroup2", "rw,nsdelegate")

    def mount(self, root: str, kind: str, options: str) -> None:
        lines = [
            "22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw",
            f"30 1 0:26 {root} {self.mounted} rw,nosuid,nodev shared:9 - {kind} cgroup {options}",
            f"31 1 0:27 / {self.folder}/other rw,relatime - {kind} cgroup rw,freezer",
        ]
        (self.folder / "mountinfo").write_text("".join(f"{line}\n" for line in lines))

    def own(self, *lines: str) -> None:
        (self.folder / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def file(self, path: str, text: str) -> None:
        (self.mounted / path).parent.mkdir(parents=True, exist_ok=True)
        (self.mounted / path).write_text(text)

    @property
    def calls(self) -> str:
        return f"process={self.folder}"


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path / "proc")


def run(node: Node, kernel: Kernel, reserved: str = RESERVED) -> JobUsage:
    node.run(f"record_usage\n{kernel.calls}\n{start('c', 'true')}", prefix=reserved)
    return used(node)


def test_without_a_cgroup_the_times_of_the_processes_count(node: Node) -> None:
    node.run(f"record_usage\n{start('c', BUSY)}\n{start('idle', 'true')}", prefix=RESERVED)
    busy, idle = used(node), used(node, "idle")
    assert busy.source is Source.TIMES
    assert busy.cpu_seconds is not None
    assert idle.cpu_seconds is not None
    assert busy.cpu_seconds > idle.cpu_seconds
    assert (busy.cpus, busy.gpus, busy.memory_peak, busy.memory_limit) == (4, 2, None, 2 * GIB)


def test_a_cgroup_of_version_2_counts_all_of_the_job(node: Node, kernel: Kernel) -> None:
    kernel.own("0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0")
    job = "system.slice/slurmstepd.scope/job_7"
    kernel.file(f"{job}/cpu.stat", "usage_usec 61234567\nuser_usec 6\n")
    kernel.file(f"{job}/memory.peak", f"{3 * GIB}\n")
    kernel.file(f"{job}/memory.max", f"{GIB}\n")
    kernel.file(f"{job}/step_batch/cpu.stat", "usage_usec 1\n")
    found = run(node, kernel)
    assert (found.source, found.cpu_seconds, found.memory_peak, found.memory_limit) == (
        Source.CGROUP,
        61.234,
        3 * GIB,
        GIB,
    )


@pytest.fixture
def real_job() -> Iterator[Path]:
    """The cgroup of job 7 in version 2 of this kernel. It has CPU time on every machine, and memory on some."""
    rows = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    mounted = next((Path(row[1]) for row in rows if row[2] == "cgroup2" and "rw" in row[3].split(",")), None)
    if mounted is None or not os.access(mounted, os.W_OK):
        pytest.skip("this machine has no cgroups of version 2 that a test can create")
    top = mounted / f"remote-slurm-{uuid.uuid4().hex[:8]}"
    job = top / "job_7"
    try:
        (job / "step_batch").mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"no cgroup can be created: {error}")
    yield job
    until(lambda: "populated 0" in (top / "cgroup.events").read_text())
    for folder in (job / "step_batch", job, top):
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def test_a_cgroup_counts_processes_that_left_the_jobs_shell(node: Node, real_job: Path) -> None:
    enter = f"{RESERVED}\necho $$ >{real_job}/step_batch/cgroup.procs"
    left = f"(setsid sh -c '{BUSY}; true >{node.root}/done' &); until [ -e {node.root}/done ]; do sleep 0.1; done"
    node.run(f"record_usage\n{start('c', left)}", prefix=enter)
    found = used(node)
    assert found.source is Source.CGROUP
    assert found.cpu_seconds is not None
    counted = int((real_job / "cpu.stat").read_text().split()[1]) / 1e6
    assert counted / 2 < found.cpu_seconds <= counted
    assert (found.memory_peak is not None) == (real_job / "memory.peak").exists()


def test_a_kernel_without_a_peak_has_no_number(node: Node, kernel: Kernel) -> None:
    kernel.own("0::/job_7/step_batch")
    kernel.file("job_7/cpu.stat", "usage_usec 2000000\n")
    kernel.file("job_7/memory.max", "max\n")
    found = run(node, kernel)
    assert (found.cpu_seconds, found.memory_peak, found.memory_limit) == (2.0, None, 2 * GIB)


def test_cgroups_of_version_1_below_the_root_of_a_mount(node: Node, kernel: Kernel) -> None:
    kernel.mount("/site", "cgroup", "rw,memory")
    kernel.own(
        "9:memory:/site/slurm/uid_0/job_7/step_batch", "4:freezer:/site/slurm/uid_0/job_7/step_batch", "0::/init.scope"
    )
    job = "slurm/uid_0/job_7"
    kernel.file(f"{job}/memory.max_usage_in_bytes", f"{GIB}\n")
    kernel.file(f"{job}/memory.limit_in_bytes", "9223372036854771712\n")
    found = run(node, kernel)
    assert (found.source, found.memory_peak, found.memory_limit) == (Source.NONE, GIB, 2 * GIB)
    kernel.mount("/site", "cgroup", "rw,cpu,cpuacct")
    kernel.own("9:cpu,cpuacct:/site/slurm/uid_0/job_7/step_batch")
    kernel.file(f"{job}/cpuacct.usage", "1500000000\n")
    found = run(node, kernel)
    assert (found.source, found.cpu_seconds, found.memory_peak) == (Source.CGROUP, 1.5, None)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/system.slice/slurmd.service",
        "/job_77/step_batch",
        "/slurm/job_8/step_batch",
        "/xjob_7",
        "/job_7x/step_batch",
    ],
)
def test_the_cgroup_of_a_node_or_of_another_job_is_not_the_jobs(node: Node, kernel: Kernel, path: str) -> None:
    kernel.own(f"0::{path}")
    for folder in (path.strip("/"), "job_7", ""):
        kernel.file(f"{folder}/cpu.stat", "usage_usec 99000000\n")
        kernel.file(f"{folder}/memory.peak", f"{GIB}\n")
    found = run(node, kernel)
    assert (found.source, found.memory_peak) == (Source.NONE, None)


def test_one_node_of_several_shows_only_how_long_the_job_ran(node: Node, kernel: Kernel) -> None:
    kernel.own("0::/job_7/step_batch")
    kernel.file("job_7/cpu.stat", "usage_usec 99000000\n")
    found = run(node, kernel, "export SLURM_JOB_NUM_NODES=2 SLURM_CPUS_ON_NODE=4")
    assert found.wall_seconds is not None
    assert found == JobUsage(wall_seconds=found.wall_seconds)


@pytest.mark.parametrize("odd", ["x", "-1", "0x10", "$(touch odd)", "a[0$(touch odd)]", "99999999999999999999", ""])
def test_odd_variables_of_a_job_are_no_numbers(node: Node, kernel: Kernel, odd: str) -> None:
    names = ("CPUS_ON_NODE", "GPUS_ON_NODE", "MEM_PER_NODE", "MEM_PER_CPU", "JOB_GPUS")
    kernel.own()
    odd_values = [f"export SLURM_{name}='{odd}'" for name in names]
    found = run(node, kernel, "\n".join(["export SLURM_JOB_NUM_NODES=1", *odd_values]))
    assert (found.cpus, found.gpus, found.memory_limit) == (None, None, None)
    assert not (node.pod / "odd").exists()


def test_podmans_containers_are_not_processes_of_the_jobs_shell(node: Node) -> None:
    node.run(f"record_usage\nruntime=podman\n{start('c', 'true')}", prefix=RESERVED)
    assert used(node).source is Source.NONE


def test_a_container_that_did_not_start_has_no_cpu_time(node: Node) -> None:
    node.run(f"record_usage\nfail NotStarted 'no image'\n{start('c', 'true')}", prefix=RESERVED)
    assert (used(node).source, used(node).cpu_seconds) == (Source.NONE, None)


@pytest.mark.parametrize(("name", "recorded"), [("cn-042.x", "cn-042.x"), ("a\\tb", ""), (None, "")])
def test_each_record_has_slurms_name_of_the_node(node: Node, name: str | None, recorded: str) -> None:
    prefix = "unset SLURMD_NODENAME" if name is None else f"export SLURMD_NODENAME=$'{name}'"
    node.run(start("c", "true"), prefix=prefix)
    assert node.ended("c").node == recorded
