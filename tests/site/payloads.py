"""A pod's files as they travel."""

from remote_slurm.domain.plan.payload import Payload, archive
from remote_slurm.domain.plan.projections import File

POD = "ns-1"


def packed(pod: str = POD, text: str = "true") -> Payload:
    """A pod with a job script of that text."""
    return Payload(pod, archive(pod, [File("job.sh", f"#!/bin/bash\n{text}\n".encode(), 0o700)]))
