"""The locked versions: within the bounds of pyproject.toml, by hash, and the same wherever a package is locked."""

import ast
import re
import sys
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


EXTRAS = PROJECT["project"]["optional-dependencies"]
IN_IMAGE = bounds(*PROJECT["project"]["dependencies"], *(each for extra in EXTRAS.values() for each in extra))

# The newest version with an advisory that is known at the time of the bound: PYSEC, GHSA or CVE. Versions that lie in
# another line of releases are named too.
UNSAFE = [
    ("aiohttp", "3.14.2"),  # GHSA-cq5v-8q36-5273
    ("cryptography", "49.0.0"),  # PYSEC-2026-3552
    ("idna", "3.14"),  # GHSA-65pc-fj4g-8rjx
    ("paramiko", "4.0.0"),  # CVE-2026-44405
    ("protobuf", "6.33.4"),  # GHSA-7gcm-g887-7qv7
    ("PyNaCl", "1.6.1"),  # CVE-2025-69277
    ("pydantic", "2.3.0"),  # CVE-2024-3772
    ("PyYAML", "5.3.1"),  # CVE-2020-14343
    ("requests", "2.32.5"),  # CVE-2026-25645
    ("urllib3", "2.6.3"),  # CVE-2026-44431
]


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


@pytest.mark.parametrize(("name", "version"), UNSAFE, ids=[name for name, _ in UNSAFE])
def test_no_bound_admits_a_version_with_a_known_advisory(name: str, version: str) -> None:
    found = [each for each in IN_IMAGE if canonicalize_name(each.name) == canonicalize_name(name)]
    assert found, f"{name} has no bound"
    assert [str(each) for each in found if each.specifier.contains(version)] == []


PARTS = ("grpc", "opentelemetry", "pydantic-core", "yaml")  # of packages with other names, which have bounds


def test_each_package_that_the_program_imports_has_a_bound() -> None:
    """A package that comes only by way of another one goes when that one drops it."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "remote_slurm").rglob("*.py")]
    imported = {name.partition(".")[0] for tree in trees for node in ast.walk(tree) for name in _modules(node)}
    bounded = {canonicalize_name(each.name) for each in IN_IMAGE} | set(PARTS)
    foreign = imported - sys.stdlib_module_names - {"remote_slurm"}
    assert {canonicalize_name(name) for name in foreign} - bounded == set()


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("group", ["build", "dev", "bench", "docs", "supply"])
def test_what_a_group_needs_is_within_its_bounds(group: str) -> None:
    assert_within(bounds(*PROJECT["dependency-groups"][group]), ROOT / f"scripts/requirements-{group}.txt")


def assert_within(needed: list[Requirement], lock: Path) -> None:
    found = locked(lock)
    for requirement in needed:
        versions = [v for (name, _), v in found.items() if name == canonicalize_name(requirement.name)]
        assert versions, f"{requirement.name} is not locked: run scripts/lock"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement}: {versions}"
