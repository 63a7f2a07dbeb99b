"""What the documentation says is what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docs_hook import on_page_markdown, section

ROOT = Path(__file__).parents[2]


def test_the_tables_are_those_of_the_code() -> None:
    checked = subprocess.run([sys.executable, ROOT / "scripts/tables"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_file_that_is_linked_is_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []


def test_every_page_has_a_place_in_the_navigation() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert {page.name for page in PAGES} == set(navigation)


README = """\
## One
see [the page](docs/page.md), [a file](examples/x.yaml) and [elsewhere](https://example.org/)

### Part
inside

## Two
of two
"""


def test_a_page_takes_over_a_section_of_the_readme() -> None:
    whole = section(README, "one")
    assert "[the page](page.md), a file and [elsewhere](https://example.org/)" in whole
    assert whole.endswith("### Part\ninside")
    assert section(README, "two") == "of two"


def test_a_section_that_is_gone_is_an_error() -> None:
    with pytest.raises(KeyError):
        on_page_markdown("[the list](../README.md#no-such-section)\n")


def test_a_link_to_a_file_outside_the_pages_is_its_text() -> None:
    assert on_page_markdown("see [`examples/x`](../examples/x).") == "see `examples/x`."
