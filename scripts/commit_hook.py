"""Writes the commit into what hatchling builds, so that `remote-slurm --version` can name it. See pyproject.toml."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """An unpacked source distribution has the file already; an editable install asks git each time."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, self.root)
        from remote_slurm.commit import FILE, at_build, recorded

        root = Path(self.root)
        if version == "editable" or recorded(root / "remote_slurm"):
            return
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / FILE
        file.write_text(f"{at_build(root, os.environ) or 'unknown'}\n", encoding="ascii")
        build_data["force_include"][str(file)] = f"remote_slurm/{FILE}"
