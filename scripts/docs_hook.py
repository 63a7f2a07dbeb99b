"""MkDocs hook: links to files outside docs/ become plain text, because the built site does not have these files."""

import re
from typing import Any

_ELSEWHERE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page without links to files outside docs/. MkDocs calls this for each page."""
    return _ELSEWHERE.sub(_text_of_link, markdown)


def _text_of_link(found: re.Match[str]) -> str:
    text = found[1]
    return f"`{text}`" if "/" in text and not text.startswith("`") else text
