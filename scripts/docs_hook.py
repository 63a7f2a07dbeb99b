"""What MkDocs does to a page before it is rendered: pages read well where they lie, and nothing is said twice.

A paragraph that is only a link to a section of the README becomes that section. A link to another file of the
repository, which the built site does not have, becomes its text.
"""

import re
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"

_INCLUDE = re.compile(r"^\[[^\]]+\]\(\.\./README\.md#([a-z0-9-]+)\)$", re.MULTILINE)
_ELSEWHERE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")
_OF_README = re.compile(r"\[([^\]]+)\]\((?!docs/|https?:)[^)]+\)")
_SECTION = re.compile(r"^## (.+)\n", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls it for each page."""
    whole = _INCLUDE.sub(lambda found: section(README.read_text(encoding="utf-8"), found[1]), markdown)
    return _ELSEWHERE.sub(_text_of_link, whole)


def section(text: str, anchor: str) -> str:
    """The section without its heading, with links as a page needs them. Raises KeyError where there is none."""
    _, *parts = _SECTION.split(text)
    body = {_anchor(title): body for title, body in zip(parts[::2], parts[1::2], strict=True)}[anchor]
    return _OF_README.sub(_text_of_link, body).replace("](docs/", "](").strip()


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def _text_of_link(found: re.Match[str]) -> str:
    text = found[1]
    return f"`{text}`" if "/" in text and not text.startswith("`") else text
