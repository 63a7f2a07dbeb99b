"""What one module adds to a job."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.shell import Call


@dataclass(frozen=True, slots=True)
class Part:
    """Files of the pod's folder, the runner's calls before any container starts, and warnings for the pod's owner."""

    files: tuple[File, ...] = ()
    calls: tuple[Call, ...] = ()
    warnings: tuple[str, ...] = ()


def joined(*parts: Part) -> Part:
    """Return all parts as one, in their order."""
    return Part(
        files=tuple(file for part in parts for file in part.files),
        calls=tuple(call for part in parts for call in part.calls),
        warnings=tuple(warning for part in parts for warning in part.warnings),
    )
