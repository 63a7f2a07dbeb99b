"""What the documentation says is what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docs_hook import on_page_markdown

from remote_slurm.config import SSH, Config

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
    listed = [page for group in navigation for pages in group.values() for page in pages]
    assert sorted(page.name for page in PAGES) == sorted(listed)


def test_the_readme_has_less_than_1200_words() -> None:
    assert len((ROOT / "README.md").read_text().split()) < 1200


KEYS = re.findall(r'<a id="([^"]+)"></a>`([^`]+)`', (ROOT / "docs" / "configuration.md").read_text())


def test_each_key_has_an_anchor_of_its_own() -> None:
    anchors = [anchor for anchor, _ in KEYS]
    assert len(set(anchors)) == len(anchors)
    wanted = {field.alias for field in Config.model_fields.values()}
    wanted |= {f"SSH.{field.alias}" for field in SSH.model_fields.values()}
    assert {key for _, key in KEYS} >= wanted


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_to_keys_lead_to_their_anchors(page: Path) -> None:
    text = page.read_text()
    here = re.findall(r"\]\((?:docs/)?configuration\.md#([^)]+)\)", text)
    own = re.findall(r"\]\(#([^)]+)\)", text) if page.name == "configuration.md" else []
    assert set(here + own) <= {anchor for anchor, _ in KEYS}


def test_a_link_to_a_file_outside_the_pages_is_its_text() -> None:
    assert on_page_markdown("see [`examples/x`](../examples/x).") == "see `examples/x`."
