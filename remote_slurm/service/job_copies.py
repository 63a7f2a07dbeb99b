"""Jobs of pods that run a copy of job.sh: the sbatch of a site may copy the script, or pass it on standard input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from remote_slurm.domain.slurm.job import Job
from remote_slurm.errors import SiteError
from remote_slurm.log import debug
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.site import Site

# Output of jobs that have no file: with SHARED_FS: false, or with a wrapper
_NO_OUTPUT = ("", "/dev/null")


class JobCopies:
    """Finds them by the id that sbatch printed. Ids are reused, so that the name of the output file decides.

    That name is the sidecar's, whatever script sbatch submits. For a job without one, the submit time decides.
    """

    def __init__(self, site: Site, pod_store: PodStore) -> None:
        self._site = site
        self._pod_store = pod_store
        self._foreign: set[tuple[str, int | None]] = set()  # pods, and submit times of jobs that have a pod's id

    async def among(self, others: Mapping[str, Job]) -> list[Job]:
        """The pods' jobs among `others`, which are jobs with a script that is not below DataRootFolder."""
        found = [
            (tracked, job)
            for tracked in self._pod_store
            if (job := others.get(tracked.job_id)) and not tracked.is_over and tracked.runs_copy is not False
        ]
        to_query = [
            job.id
            for tracked, job in found
            if not tracked.is_listed and (tracked.key, job.submitted) not in self._foreign
        ]
        outputs = await self._outputs(to_query)
        if outputs is None:
            return []
        copies = []
        for tracked, job in found:
            if _is_copy(tracked, job, outputs):
                copies.append(replace(job, pod=tracked.key, is_copy=True))
            else:
                self._foreign.add((tracked.key, job.submitted))
        return copies

    async def _outputs(self, job_ids: list[str]) -> dict[str, str] | None:
        """The output file of each job; None if squeue does not show them."""
        if not job_ids:
            return {}
        try:
            outputs = dict.fromkeys(job_ids, "") | await self._site.outputs(job_ids)
        except SiteError as error:
            debug("squeue does not show the output files of jobs", reason=error)
            return None
        return outputs


def _is_copy(tracked: TrackedPod, job: Job, outputs: Mapping[str, str]) -> bool:
    if tracked.is_listed:
        return True
    if job.id not in outputs:
        return False
    output = outputs[job.id]
    return tracked.owns(job) if output in _NO_OUTPUT else f"/{tracked.key}/" in output
