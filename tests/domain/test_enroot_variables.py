"""Enroot drops variables whose names no shell can hold: the script in place of /etc/rc sets them in the container."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.domain.podspec import container, plan, pod

ODD = {
    "db.password": "t0p-of-the-database",
    "a-b": "it's\nline\n",
    "A B": "",
    "1x": "a=b",
    "HOME": "/of-the-pod",
    "PLAIN": "p",
}
SHOW = ["sh", "-c", "tr '\\0' '\\1' </proc/$$/environ"]


def run(folder: Path, *programs: str) -> subprocess.CompletedProcess[str]:
    """The script of a container, in a shell whose PATH has these programs only."""
    env = [{"name": name, "value": value} for name, value in ODD.items()]
    planned = plan(pod(container("main", *SHOW, env=env)), settings={"ContainerRuntime": "enroot"})
    script = next(file.content for file in planned.files if file.path == "secret/env-main")
    (folder / "rc").write_bytes(script or b"")
    for name in ("sh", "env", "tr", *programs):
        # a python3 in the PATH may be a shell script that looks for one
        (folder / name).symlink_to(Path(sys.executable).resolve() if name == "python3" else shutil.which(name) or "")
    command = ["/bin/sh", "rc", *SHOW]
    return subprocess.run(command, cwd=folder, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("carrier", ["perl", "python3"])
def test_a_program_of_the_image_sets_them(tmp_path: Path, carrier: str) -> None:
    done = run(tmp_path, carrier)
    found = dict(entry.partition("=")[::2] for entry in done.stdout.split("\1") if entry)
    assert {name: found.get(name) for name in ODD} == ODD, done
    assert not any(name.startswith("REMOTE_SLURM") for name in found)


def test_an_image_without_such_a_program_says_so(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith("Error: the image has neither perl nor python3")
