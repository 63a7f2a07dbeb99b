"""How much is tried: a sample that is the same every time, and far more of it in scripts/soak."""

import os

from hypothesis import HealthCheck, settings

SOAK = int(os.environ.get("SOAK") or 0)


def effort(examples: int) -> settings:
    """So many examples; in a soak SOAK times as many, and others each time."""
    return settings(
        max_examples=examples * (SOAK or 1),
        deadline=None,
        derandomize=not SOAK,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
