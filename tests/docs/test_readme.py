"""What the documentation says is what the code does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tables_are_those_of_the_code() -> None:
    checked = subprocess.run([sys.executable, ROOT / "scripts/tables"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_file_that_the_readme_links_is_there() -> None:
    targets = [part.split(")")[0] for part in (ROOT / "README.md").read_text().split("](")[1:]]
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []
