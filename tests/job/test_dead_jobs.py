"""What killed jobs leave on their node, and which of it the next job removes: never what may be in use."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.job.node import BASH, CLUSTER, Node, sh, until

NODE = os.uname().nodename
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
HERE = f"{CLUSTER}/{NODE}/{NODE}"
SPACE = str(Path("/proc/self/ns/pid").readlink())


def start_of(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[19]


@dataclass
class Left:
    """A folder that a job has left on the node, with the file beside it that names the job's shell."""

    folder: Path

    def of(self, pid: Any, start: Any = 1, node: str = HERE, boot: str = BOOT, space: str = SPACE) -> None:
        self.write(f"{node} {boot} {space} {pid} {start}\n")

    def write(self, text: str) -> None:
        self.owner.write_text(text)

    @property
    def owner(self) -> Path:
        return Path(f"{self.folder}.owner")

    @property
    def is_there(self) -> bool:
        return (self.folder / "secret").exists()


@pytest.fixture
def left() -> Iterator[Callable[..., Left]]:
    """Makes such a folder, of a shell that has ended if nothing else is said."""
    made: list[Left] = []

    def leave(where: Path = Path("/dev/shm")) -> Left:
        made.append(Left(where / f"remote-slurm-{os.getpid()}{len(made)}-AbCdEf"))
        made[-1].folder.mkdir()
        (made[-1].folder / "secret").write_text("t0p")
        made[-1].of(pid=ended)
        return made[-1]

    gone = subprocess.Popen(["true"])
    ended = gone.pid
    gone.wait()
    yield leave
    for each in made:
        shutil.rmtree(each.folder, ignore_errors=True)
        each.owner.unlink(missing_ok=True)


def test_what_a_dead_job_of_the_account_has_left_on_the_node_is_removed(
    node: Node, left: Callable[..., Left], tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    closed, only_its_file, reused = left(), left(), left()
    closed.folder.chmod(0o500)
    shutil.rmtree(only_its_file.folder)
    reused.of(pid=os.getpid(), start=1)
    before = left()
    before.of(boot="another", pid=os.getpid(), start=start_of(os.getpid()))
    found = [closed, only_its_file, reused, before, left(tmp_path / "tmp"), left()]
    assert node.run("true", prefix=f"TMPDIR={tmp_path}/tmp").code == 0
    assert [each.folder.exists() or each.owner.exists() for each in found] == [False] * 6


@pytest.mark.parametrize("of", [
    {},
    {"node": "/other/other", "pid": 0},
    {"node": f"cluster/{NODE}/{NODE}", "pid": 0},
    {"node": "/other/other", "boot": "another", "pid": 0},
    {"space": "pid:[1]", "pid": 0},
    {"space": "", "pid": 0},
    {"pid": "x"},
    {"start": ""},
], ids=["it lives", "node", "cluster", "boot of a node", "namespace", "short", "no id", "no start"])  # fmt: skip
def test_what_may_belong_to_a_living_job_stays(node: Node, left: Callable[..., Left], of: dict[str, Any]) -> None:
    """On a file system that nodes share, its process may be on another one."""
    folder, alive = left(), subprocess.Popen(["sleep", "60"], env={})
    try:
        folder.of(**{"pid": alive.pid, "start": start_of(alive.pid)} | of)
        assert node.run("true").code == 0
        assert folder.is_there
    finally:
        alive.kill()
        alive.wait()


def test_what_says_nothing_of_its_job_stays(node: Node, left: Callable[..., Left], tmp_path: Path) -> None:
    """Such as folders of jobs that an older version has started."""
    older, empty, linked, link = left(), left(), left(), left()
    older.owner.unlink()
    empty.write("")
    (tmp_path / "owner").write_text(linked.owner.read_text())
    linked.owner.unlink()
    linked.owner.symlink_to(tmp_path / "owner")
    target = left(tmp_path)
    shutil.rmtree(link.folder)
    link.folder.symlink_to(target.folder)
    assert node.run("true").code == 0
    assert [each.is_there for each in (older, empty, linked, target)] == [True] * 4
    link.folder.unlink()


def test_what_ends_the_containers_of_a_killed_job_keeps_its_folder(node: Node, left: Callable[..., Left]) -> None:
    folder = left()
    watcher = subprocess.Popen(["sleep", "60"], env={"XDG_RUNTIME_DIR": str(folder.folder)})
    try:
        assert node.run("true").code == 0
        assert folder.is_there
    finally:
        watcher.kill()
        watcher.wait()
    assert node.run("true").code == 0
    assert not folder.is_there


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another account")
def test_what_another_account_has_in_memory_stays(node: Node, left: Callable[..., Left]) -> None:
    foreign, known = left(), left()
    os.chown(foreign.folder, 4711, -1)
    os.chown(known.owner, 4711, -1)
    assert node.run("true").code == 0
    assert foreign.is_there
    assert known.is_there


def test_a_node_whose_proc_is_of_another_namespace_removes_nothing(node: Node, left: Callable[..., Left]) -> None:
    """As with a plugin of Slurm that gives each job a namespace: what is seen there says nothing of other jobs."""
    folder = left()
    inside = f"[[ ${{INSIDE-}} ]] || INSIDE=1 exec unshare --user --map-root-user --pid --fork {BASH} job.sh"
    ended = node.run("memory_volume v\ncontainer main true", prefix=inside)
    if node.record("main") is None and "unshare" in ended.output:
        pytest.skip("no namespaces here")
    assert ended.code == 0
    assert folder.is_there


def test_folders_on_the_node_name_their_shell_and_end_with_the_job(node: Node, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    calls = "scratch main\nmemory_volume v\nshared_memory\n"
    wait = f"container main {sh('until [ -e go ]; do sleep 0.02; done')}"
    job = node.start(calls + wait, prefix=f"TMPDIR={tmp_path}/tmp")
    until(lambda: node.is_running("main"))
    folders = [(node.pod / each).resolve() for each in ("scratch", "volumes/v", "shm")]
    owners = [Path(f"{folder}.owner") for folder in folders]
    expected = f"{HERE} {BOOT} {SPACE} {job.process.pid} {start_of(job.process.pid)}\n"
    assert [owner.read_text() for owner in owners] == [expected] * 3
    (node.pod / "go").touch()
    assert job.end().code == 0
    assert not any(each.exists() for each in (*folders, *owners))


def test_a_killed_jobs_folders_go_with_the_next_job_on_the_node(node: Node, tmp_path: Path) -> None:
    calls = "memory_volume v\ncontainer main sleep 300"
    job = node.start(calls)
    until(lambda: node.is_running("main"))
    folder = (node.pod / "volumes/v").resolve()
    other = Node(tmp_path / "other")
    assert other.run("true", job="8").code == 0
    assert folder.exists(), "its job lives"
    job.process.kill()
    node.clear()
    job.end()
    assert other.run("true", job="8", run=1).code == 0
    assert not folder.exists()
