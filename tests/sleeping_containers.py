"""Containers that sleep, each for another time, so that its processes can be distinguished from others'."""

import random

from tests.serving import Serving


def any_seconds() -> int:
    """More than any test waits."""
    return random.randrange(10_000, 100_000_000)  # noqa: S311 - it is no secret


def sleeping(served: Serving, seconds: int) -> bool:
    """Whether some process at the site sleeps for so long; the one that looks is none of them."""
    return served.site.exec(f"pgrep -f '[s]leep {seconds}' || true") != ""
