"""Adds the project URLs and the description to the metadata that hatchling builds. See pyproject.toml."""

import os
import re
import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ADDRESS = "REMOTE_SLURM_REPOSITORY"  # such as https://github.com/OWNER/remote-slurm; scripts/release and CI set it


class MetadataHook(MetadataHookInterface):
    """An unpacked source distribution has both in PKG-INFO already. Without an address, links stay relative."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        if "readme" in metadata:
            return
        sys.path.insert(0, self.root)
        from remote_slurm import __version__

        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        address = os.environ.get(ADDRESS, "").rstrip("/")
        if address:
            text = with_absolute_links(text, address, f"v{__version__}")
            metadata["urls"] = project_urls(address)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def with_absolute_links(text: str, address: str, tag: str) -> str:
    """PyPI resolves relative links against itself. The tag makes the links those of the released files."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({address}/{kind}/{tag}/{link['path']})"

    return re.sub(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?![a-z]+:|#)(?P<path>[^)\s]+)\)", absolute, text)


def project_urls(address: str) -> dict[str, str]:
    return {
        "Homepage": address,
        "Documentation": f"{address}/tree/main/docs",
        "Issues": f"{address}/issues",
        "Changelog": f"{address}/blob/main/CHANGELOG.md",
        "Source": address,
    }
