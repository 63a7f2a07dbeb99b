"""The messages that sbatch prints, for the status of a pod."""

from __future__ import annotations

import re

# It goes into a pod's status, each time that is asked for
_LONGEST_WORDS = 1000


def sbatch_message(stderr: str) -> str:
    """What sbatch said, on one line and without its prefixes."""
    lines = (re.sub(r"^sbatch: (error: )?", "", line.strip()) for line in stderr.split("\n"))
    return "; ".join(line for line in lines if line)


def shortened(message: str) -> str:
    """Return the beginning and the end of a message: sbatch prints its reason after the output of plugins."""
    if len(message) <= _LONGEST_WORDS:
        return message
    return f"{message[: _LONGEST_WORDS // 2]} ... {message[-_LONGEST_WORDS // 2 :]}"
