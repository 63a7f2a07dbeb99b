"""What the README says of the configuration is what the configuration is."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_table_is_that_of_the_model() -> None:
    printed = subprocess.run(
        [sys.executable, ROOT / "scripts/config-table"], capture_output=True, text=True, check=True
    ).stdout
    readme = (ROOT / "README.md").read_text()
    table = readme.partition("<!-- config-table -->\n")[2].partition("<!-- /config-table -->")[0]
    assert table == printed, "run scripts/config-table --write"


def test_every_file_that_the_readme_links_is_there() -> None:
    targets = [part.split(")")[0] for part in (ROOT / "README.md").read_text().split("](")[1:]]
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []
