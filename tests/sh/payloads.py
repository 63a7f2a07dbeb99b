"""A pod's files as they travel."""

from remote_slurm.domain.projections import File
from remote_slurm.domain.script import archive

POD = "ns-1"


def packed(pod: str = POD, text: str = "true") -> bytes:
    """The archive of a pod with a job script of that text."""
    return archive(pod, [File("job.sh", f"#!/bin/bash\n{text}\n".encode(), 0o700)])
