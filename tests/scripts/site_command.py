"""Running `scripts/site` from a test; a site that comes up is taken down whatever happens."""

import contextlib
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.sites import guard_site

SITE = Path(__file__).parents[2] / "scripts" / "site"

Document = dict[str, Any]


def site(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SITE, *arguments], input=given, capture_output=True, text=True, timeout=600, check=False)


@contextlib.contextmanager
def site_up(*options: str) -> Iterator[Document]:
    name = f"test-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as folder:
        (mark := Path(folder, "up")).touch()
        guard_site(name, mark, str(os.getpid()))
        try:
            up = site("up", "--name", name, "--output", "json", *options)
            assert up.returncode == 0, up.stderr
            yield json.loads(up.stdout)
        finally:
            site("down", "--name", name)


def batch(document: Document, script: str, user: str = "hpcuser") -> str:
    """What a batch job prints, awaited within the same login."""
    command = "sh -c 'cat >job.sh; rm -f out done; sbatch -o out --wait job.sh >/dev/null; cat out'"
    login = site("ssh", "--name", document["name"], "--user", user, "--", command, given=f"#!/bin/sh\n{script}\n")
    return login.stdout
