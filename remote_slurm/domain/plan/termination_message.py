"""terminationMessagePath: the file in which a container writes why it ended.

The runner begins each run with an empty file and reads it at the end (job/messages.sh). The runtime decides how
a container reaches the file (Runtime.message_mounts).
"""

from __future__ import annotations

from remote_slurm.domain.plan.mounts import refuse_bind_syntax
from remote_slurm.domain.pod.limits import check_path
from remote_slurm.domain.pod.model import Container
from remote_slurm.errors import InvalidRequest


def message_file(container: Container) -> str:
    """Return the path of the file in the pod's folder."""
    return f"messages/{container.name}"


def checked_path(container: Container) -> str:
    """Return the path in the container. Raises InvalidRequest if it is not valid."""
    path = container.termination_message_path
    what = f"terminationMessagePath of container '{container.name}'"
    if not path.startswith("/"):
        raise InvalidRequest(f"invalid {what}: '{path}' must be an absolute path")
    refuse_bind_syntax(path, what)
    return check_path(path, what)


def is_below_dev(path: str) -> bool:
    return path.startswith("/dev/")
