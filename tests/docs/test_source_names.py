"""Comments and docstrings name files that exist, and names of tests are short enough for a line of pytest."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "remote_slurm"
ROOMS = "|".join(path.name for path in PACKAGE.iterdir() if path.is_dir())
TEST = re.compile(r"\bdef (test_\w+)")
NAMED = re.compile(rf"\b((?:{ROOMS})/[\w/-]+\.(?:py|sh))\b")


def test_each_file_of_the_package_that_is_named_exists() -> None:
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.sh"), *(ROOT / "docs").rglob("*.md")]
    named = {(path.name, name) for path in sources for name in NAMED.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert not [
        pair for pair in sorted(named) if not ((PACKAGE / pair[1]).exists() or (ROOT / "tests" / pair[1]).exists())
    ]


def test_each_test_has_a_name_below_70_characters() -> None:
    names = [name for path in (ROOT / "tests").rglob("*.py") for name in TEST.findall(path.read_text(encoding="utf-8"))]
    assert len(names) > 1000
    assert not [name for name in names if len(name) >= 70]
