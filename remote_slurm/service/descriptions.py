"""All that is known of one pod, for `remote-slurm describe`: from memory, and from its folder at the site."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.plan.description import container_names
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase
from remote_slurm.domain.status.pod_summary import PodPhase, PodSummary
from remote_slurm.errors import PodNotFound, SiteError
from remote_slurm.service.dashboard import is_unreachable, unreachable_json
from remote_slurm.service.event_log import EventLog
from remote_slurm.service.pod_store import PodStore
from remote_slurm.service.poller import Poller
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.operations.describe import PodFolder
from remote_slurm.site.site import Site

Json = dict[str, Any]


class Descriptions:
    """Of the pods of one account."""

    def __init__(self, site: Site, pod_store: PodStore, poller: Poller, events: EventLog, config: Config) -> None:
        self._site = site
        self._pod_store = pod_store
        self._poller = poller
        self._events = events
        self._config = config

    async def of(self, pod: str) -> Json:
        """JSON; times in seconds since 1970. Raises PodNotFound, and SiteError.

        If the site cannot be asked for a pod that this sidecar knows, what the folder has is left out.
        """
        tracked = self._pod_store.get(pod)
        folder, problem = await self._folder(pod, is_known=tracked is not None)
        tracked = tracked or self._pod_store.get(pod)
        if problem:
            folder = PodFolder("")
        if folder is None and tracked is None:
            raise PodNotFound(f"there is no pod {pod} at {self._config.site_address}")
        folder = folder or PodFolder("")
        summary = _summary(tracked, folder) if tracked else None
        return {
            "pod": pod,
            "site": self._config.site_address,
            "account": self._config.ssh.user,
            "unreachable": unreachable_json(self._poller, problem) if problem else None,
            "time": time.time(),
            "spec": dict(folder.spec),
            "job": _job_json(tracked.job, summary, folder) if summary and tracked and tracked.job else None,
            "folder": folder.path,
            "files": [{"path": path, "size": size} for path, size in folder.files],
            "nodeFolder": _node_folder(tracked),
            "events": [
                {
                    "time": moment,
                    "type": "Warning" if event.is_warning else "Normal",
                    "reason": event.reason,
                    "message": event.message,
                }
                for moment, event in (self._events.of(tracked, summary) if tracked and summary else [])
            ],
        }

    async def _folder(self, pod: str, *, is_known: bool) -> tuple[PodFolder | None, str]:
        """What the folder has, or why that is not known. Nothing is asked during an outage."""
        if is_known and is_unreachable(self._poller):
            return None, self._poller.error
        try:
            return await self._site.describe(pod), ""
        except SiteError as error:
            if not is_known:
                raise
            return None, str(error)


def _summary(tracked: TrackedPod, folder: PodFolder) -> PodSummary:
    """The state of the pod, with the containers of its folder if no request has described it."""
    view = tracked.view()
    return PodSummary(view if view.container_names else replace(view, container_names=container_names(folder.spec)))


def _job_json(job: Job, summary: PodSummary, folder: PodFolder) -> Json:
    waits = job.state.phase is JobPhase.WAITING and summary.phase is PodPhase.WAITING
    return {
        "id": job.id,
        "state": summary.state,
        "reason": job.reason,
        "partition": job.partition,
        "node": summary.node,
        "submitted": job.submitted or folder.submitted,
        "startsAt" if waits else "started": job.start,
        "ended" if job.state.phase is JobPhase.ENDED else "endsBy": None if waits else job.end,
    }


def _node_folder(tracked: TrackedPod | None) -> str | None:
    """Where the logs are, as long as they are on a node that shares no file system."""
    on_node = tracked.on_node if tracked else None
    return on_node.folder if on_node else None
