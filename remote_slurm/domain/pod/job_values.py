"""Values that only the job knows: the address and the name of its node, and its CPUs and memory.

The sidecar writes a mark in place of such a value, and the runner replaces the marks in files below secret/ before any
container starts (job/job_values.sh). A mark has only characters that no shell, JSON or --env-file changes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from enum import StrEnum

from remote_slurm.domain.pod.model import Pod


class JobValue(StrEnum):
    """The value that replaces a mark; job/job_values.sh has a case for each."""

    ADDRESS = "address"
    NODE = "node"
    CPU = "cpu"
    MEMORY = "memory"
    STORAGE = "storage"


def mark(pod: Pod, value: JobValue, divisor: Decimal = Decimal(1)) -> str:
    """The mark for `value`, divided by `divisor` and rounded up."""
    by, times = divisor.as_integer_ratio()
    return f"{_prefix(pod)}-{value}-{times}-{by}."


def fill_calls(pod: Pod, files: Iterable[tuple[str, bytes | None]]) -> Iterator[tuple[str, ...]]:
    """The runner's calls for the marks in `files`, which are pairs of path and content."""
    prefix = _prefix(pod).encode()
    marked = {path: content for path, content in files if content and prefix in content and path.startswith("secret/")}
    if not marked:
        return
    pattern = re.compile(re.escape(prefix) + rb"-([a-z]+)-([0-9]+)-([0-9]+)\.")
    for found in dict.fromkeys(found.group(0, 1, 2, 3) for text in marked.values() for found in pattern.finditer(text)):
        yield "job_value", *(part.decode() for part in found)
    yield "fill_in", *marked


def _prefix(pod: Pod) -> str:
    """Other text in the pod can hold it only if it is written there on purpose."""
    return f"remote-slurm-{hashlib.sha256(pod.metadata.uid.encode()).hexdigest()[:12]}"
