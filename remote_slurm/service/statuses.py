"""interLink's status of pods, answered from the pod store without asking the site."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from remote_slurm.domain.pod.model import Pod
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_ids import is_job_id
from remote_slurm.domain.slurm.job_states import JobState
from remote_slurm.domain.status.pod_status import pod_status
from remote_slurm.service.deletes import Deletes
from remote_slurm.service.orphans import EVERYBODY, Asker, Orphans
from remote_slurm.service.ownership import Ownership
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.recovery import PodRecovery
from remote_slurm.service.tracked_pod import TrackedPod


class Statuses:
    """Each question also shows that Kubernetes still has the pod (orphans), and names its containers."""

    def __init__(
        self, pod_store: PodStore, recovery: PodRecovery, deletes: Deletes, orphans: Orphans, ownership: Ownership
    ) -> None:
        self._pod_store = pod_store
        self._recovery = recovery
        self._deletes = deletes
        self._orphans = orphans
        self._ownership = ownership

    def of(self, pods: Iterable[Pod], asker: Asker = EVERYBODY) -> list[dict[str, Any]]:
        """The PodStatus of each pod that is known. Kubernetes keeps the status of a pod that is left out."""
        pods = list(pods)
        self._orphans.requested((pod.key for pod in pods), asker)
        known = ((pod, tracked) for pod in pods if (tracked := self._tracked(pod)) is not None)
        return [pod_status(pod, tracked.view()) for pod, tracked in known if tracked.is_reportable]

    def _tracked(self, pod: Pod) -> TrackedPod | None:
        tracked = self._pod_store.get(pod.key) or self._by_annotation(pod)
        if tracked is None or tracked.known_to_kubelet_only:
            self._ownership.asked_for_unknown = True
        if tracked is not None and not tracked.container_names:
            tracked.describe(pod)
        return tracked

    def _by_annotation(self, pod: Pod) -> TrackedPod | None:
        """Track a pod whose folder the site has lost: the Virtual Kubelet keeps its job id."""
        job_id = pod.metadata.annotations.get("JobID", "")
        if not self._recovery.is_done or not is_job_id(job_id) or pod.key in self._deletes:
            return None
        tracked = self._pod_store.add(pod.key, pod.full_name)
        tracked.job = Job(job_id, JobState.UNKNOWN, pod=pod.key)
        tracked.known_to_kubelet_only = True
        return tracked
