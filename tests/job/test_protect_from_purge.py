"""Jobs outlast a purge of old files: what they need is touched now and then, and the pod's own files are not."""

import contextlib
import os
import subprocess
import time

from tests.job.node import POD, Node, sh, until

_DAYS = 40 * 86_400


def age(node: Node) -> None:
    """As if no file had been used for weeks."""
    old = time.time() - _DAYS
    for path in node.root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # the job goes on meanwhile
            os.utime(path, (old, old), follow_symlinks=False)


def purge(node: Node) -> None:
    """What sites run: whatever was not changed for three weeks goes, links included."""
    subprocess.run(["find", node.root, "-ignore_readdir_race", "-mindepth", "1",
                    "(", "-type", "f", "-o", "-type", "l", ")", "-mtime", "+21", "-delete"], check=True)  # fmt: skip


def test_scripts_that_pods_share_survive_a_purge_as_long_as_a_job_runs(node: Node) -> None:
    shared = node.control / "lib" / "sum"
    shared.mkdir(parents=True)
    for name in ("runner.sh", "mounts.sh"):
        (shared / name).touch()
    script = "until [ -e go ]; do sleep 0.1; done"
    job = node.start(f"lib=../.remote-slurm/lib/sum\nprotect_from_purge 1\ncontainer main {sh(script)}")
    until(lambda: node.is_running("main"))
    age(node)
    until(lambda: is_fresh(node))
    purge(node)
    assert {path.name for path in shared.iterdir()} == {"runner.sh", "mounts.sh"}
    (node.pod / "go").touch()
    assert job.end().code == 0


def is_fresh(node: Node, *names: str) -> bool:
    """The claim is the last that is touched."""
    paths = [*(node.pod / name for name in names), node.control / "claims" / f"{POD}.job"]
    return all(path.lstat().st_mtime > time.time() - 86_400 for path in paths)


def test_files_of_a_running_job_survive_a_purge(node: Node) -> None:
    (node.pod / "volumes").mkdir()
    (node.pod / "volumes" / "setting").write_text("kept")
    (node.pod / "volumes" / "removed").touch()
    (node.control / "owners").mkdir()
    (node.control / "owners" / "1795478290").symlink_to("sidecar")
    script = "echo own >volumes/own; until [ -e go ]; do sleep 0.1; done; cat volumes/setting secret/token"
    job = node.start(f"protect_from_purge 2\ntermination_message messages/main File\ncontainer main {sh(script)}")
    until((node.pod / "volumes" / "own").exists)
    until(lambda: node.is_running("main"))
    (node.pod / "volumes" / "removed").unlink()
    age(node)
    later = ("logs/main.log", "messages/main")
    until(lambda: is_fresh(node, "volumes/setting", "secret/token", "records/main", "runner.sh", *later))
    purge(node)
    assert not (node.pod / "volumes" / "own").exists()
    assert not (node.pod / "volumes" / "removed").exists(), "what is gone does not come back empty"
    assert (node.control / "owners" / "1795478290").is_symlink()
    (node.pod / "go").touch()
    assert job.end().code == 0
    assert node.ended("main").exit_code == 0
    assert node.log("main") == "keptt0p"
