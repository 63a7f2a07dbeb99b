"""All that is known of one pod, for `remote-slurm describe`: from memory, and from its folder at the site."""

from __future__ import annotations

import time
from typing import Any

from remote_slurm.config import Config
from remote_slurm.domain.slurm.job import Job
from remote_slurm.domain.slurm.job_states import JobPhase
from remote_slurm.errors import PodNotFound
from remote_slurm.service.event_log import EventLog
from remote_slurm.service.pod_store import PodStore, TrackedPod
from remote_slurm.site.operations.describe import PodFolder
from remote_slurm.site.site import Site

Json = dict[str, Any]


class Descriptions:
    """Of the pods of one account."""

    def __init__(self, site: Site, pod_store: PodStore, events: EventLog, config: Config) -> None:
        self._site = site
        self._pod_store = pod_store
        self._events = events
        self._config = config

    async def of(self, pod: str) -> Json:
        """JSON; times in seconds since 1970. Raises PodNotFound, and SiteError."""
        folder, tracked = await self._site.describe(pod), self._pod_store.get(pod)
        if folder is None and tracked is None:
            raise PodNotFound(f"there is no pod {pod} at {self._config.site_address}")
        folder = folder or PodFolder("")
        return {
            "pod": pod,
            "site": self._config.site_address,
            "account": self._config.ssh.user,
            "time": time.time(),
            "spec": dict(folder.spec),
            "job": _job_json(tracked.job, folder) if tracked and tracked.job else None,
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
                for moment, event in (self._events.of(tracked) if tracked else [])
            ],
        }


def _job_json(job: Job, folder: PodFolder) -> Json:
    waits = job.state.phase is JobPhase.WAITING
    return {
        "id": job.id,
        "state": job.state.value,
        "reason": job.reason,
        "partition": job.partition,
        "node": "" if waits else job.node,
        "submitted": job.submitted or folder.submitted,
        "startsAt" if waits else "started": job.start,
        "ended": job.end,
    }


def _node_folder(tracked: TrackedPod | None) -> str | None:
    """Where the logs are, as long as they are on a node that shares no file system."""
    on_node = tracked.on_node if tracked else None
    return on_node.folder if on_node else None
