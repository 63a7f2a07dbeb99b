"""What is installed elsewhere: the same wheel from the same sources, which names its commit."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest

from remote_slurm.commit import at_build, of_checkout, recorded

ROOT = Path(__file__).parents[2]
PARTS = ("remote_slurm", "scripts", "examples", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")
COMMIT = "0123456789ab"


def sources(folder: Path) -> Path:
    """A copy without .git, written just now and for its owner only."""
    folder.mkdir()
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / part, folder / part)
    return folder


def built(folder: Path, target: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", "dist"]
    subprocess.run(command, cwd=folder, env=os.environ | {"REMOTE_SLURM_COMMIT": COMMIT}, check=True)
    (file,) = (folder / "dist").iterdir()
    return file


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    once, again = sources(tmp_path / "once"), sources(tmp_path / "again")
    for file in again.rglob("*.py"):
        file.chmod(0o600)
        os.utime(file, (2_000_000_000, 2_000_000_000))
    first, second = built(once, "wheel"), built(again, "wheel")
    assert sha256(first.read_bytes()).hexdigest() == sha256(second.read_bytes()).hexdigest()
    assert ZipFile(first).read("remote_slurm/COMMIT").decode().strip() == COMMIT


def test_a_wheel_of_a_source_distribution_names_the_commit_of_that(tmp_path: Path) -> None:
    shutil.unpack_archive(built(sources(tmp_path / "checkout"), "sdist"), tmp_path)
    (unpacked,) = tmp_path.glob("remote_slurm-*")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(command, cwd=unpacked, env=os.environ | {"REMOTE_SLURM_COMMIT": "another"}, check=True)
    (wheel,) = (unpacked / "dist").iterdir()
    assert ZipFile(wheel).read("remote_slurm/COMMIT").decode().strip() == COMMIT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    git("init", "--quiet")
    (tmp_path / "file").touch()
    git("add", "file")
    git("commit", "--quiet", "-m", "one")
    return tmp_path


def test_a_checkout_asks_git(checkout: Path) -> None:
    head = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert of_checkout(checkout) == head.stdout[:12]
    (checkout / "file").write_text("changed")
    assert of_checkout(checkout) == head.stdout[:12] + "-dirty"


def test_the_commit_given_to_the_build_wins_over_git(checkout: Path) -> None:
    assert at_build(checkout, {"REMOTE_SLURM_COMMIT": COMMIT}) == COMMIT
    assert at_build(checkout, {}) == of_checkout(checkout)


def test_a_folder_inside_another_repository_is_not_that(checkout: Path) -> None:
    inside = checkout / "vendored"
    inside.mkdir()
    assert of_checkout(inside) == ""
    assert recorded(inside) == ""
