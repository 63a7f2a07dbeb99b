"""The locked versions: within the bounds of pyproject.toml, by hash, and the same wherever a package is locked."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("scripts/requirements*.txt"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(lock: Path) -> dict[tuple[str, str], str]:
    """Package and marker, and the version."""
    found = {}
    for line in re.sub(r" *\\\n", "\n", lock.read_text()).splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.strip())
            (only,) = requirement.specifier
            assert only.operator == "==", line
            found[canonicalize_name(requirement.name), str(requirement.marker or "")] = only.version
    return found


def bounds(*requirements: Any) -> list[Requirement]:
    return [Requirement(each) for each in requirements if isinstance(each, str)]


IN_IMAGE = bounds(*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["tracing"])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_version_is_locked_with_hashes(lock: Path) -> None:
    entries = re.split(r"\n(?=[^ #\n])", lock.read_text().strip())
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_locks_agree() -> None:
    everything: dict[tuple[str, str], set[str]] = {}
    for lock in LOCKS:
        for package, version in locked(lock).items():
            everything.setdefault(package, set()).add(version)
    assert {package: versions for package, versions in everything.items() if len(versions) > 1} == {}


@pytest.mark.parametrize(
    "lock", [lock for lock in LOCKS if lock.name != "requirements-build.txt"], ids=lambda p: p.name
)
def test_what_the_program_needs_is_within_its_bounds(lock: Path) -> None:
    assert_within(IN_IMAGE, lock)


@pytest.mark.parametrize("group", ["build", "dev", "bench", "docs", "supply"])
def test_what_a_group_needs_is_within_its_bounds(group: str) -> None:
    assert_within(bounds(*PROJECT["dependency-groups"][group]), ROOT / f"scripts/requirements-{group}.txt")


def assert_within(needed: list[Requirement], lock: Path) -> None:
    found = locked(lock)
    for requirement in needed:
        versions = [v for (name, _), v in found.items() if name == canonicalize_name(requirement.name)]
        assert versions, f"{requirement.name} is not locked: run scripts/lock"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement}: {versions}"
