"""What one module of plan/ adds to a job."""

from __future__ import annotations

from dataclasses import dataclass

from remote_slurm.domain.plan.projections import File
from remote_slurm.domain.shell import Call


@dataclass(frozen=True, slots=True)
class PlanFragment:
    """Files of the pod's folder, the runner's calls before any container starts, and warnings for the pod's owner."""

    files: tuple[File, ...] = ()
    calls: tuple[Call, ...] = ()
    warnings: tuple[str, ...] = ()


def merged(*fragments: PlanFragment) -> PlanFragment:
    """Return all fragments as one, in their order."""
    return PlanFragment(
        files=tuple(file for fragment in fragments for file in fragment.files),
        calls=tuple(call for fragment in fragments for call in fragment.calls),
        warnings=tuple(warning for fragment in fragments for warning in fragment.warnings),
    )
