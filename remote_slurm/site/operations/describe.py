"""What the folder of one pod has for people. Only people ask for it, seldom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remote_slurm.site.operation import Operation
from remote_slurm.site.reply import Reply


@dataclass(frozen=True, slots=True)
class PodFolder:
    """A pod's folder: its path, its spec as plan/description.py writes it, and its output files with their sizes.

    `spec` is empty if an earlier version has submitted the pod. `submitted` is in seconds since 1970 by the site's
    clock, which is `age` seconds ago; None if there was no submission.
    """

    path: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    submitted: int | None = None
    age: int | None = None
    files: tuple[tuple[str, int], ...] = ()


def operation(pod: str) -> Operation[PodFolder | None]:
    """The folder of this pod; None if there is none."""
    return Operation("describe", lambda reply: _folder(reply, pod), values={"pod": pod})


def _folder(reply: Reply, pod: str) -> PodFolder | None:
    if reply.has("nofolder"):
        return None
    now, submitted = int(reply.require("described")), reply.get("submitted")
    return PodFolder(
        f"{reply.root}/{pod}",
        _spec(reply.get("spec")),
        int(submitted) if submitted else None,
        max(0, now - int(submitted)) if submitted else None,
        tuple((name, int(size)) for size, _, name in (line.partition(" ") for line in reply.all("file"))),
    )


def _spec(text: str) -> dict[str, Any]:
    """None if the line has been changed by hand."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
