"""What needs the Kubernetes API, if the configuration has credentials for it.

ConfigMaps, Secrets and storage classes that a request lacks are read. A pod that no longer exists is not submitted.
Each step of a pod's job becomes an Event.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

from remote_slurm.config import Config
from remote_slurm.domain.plan.pvc import claims_of_unknown_class
from remote_slurm.domain.pod.folder_name import split_key
from remote_slurm.domain.pod.model import (
    ConfigMap,
    ContainerData,
    CreateRequest,
    Metadata,
    Pod,
    ProjectedSource,
    Secret,
)
from remote_slurm.domain.status.pod_events import PodEvent
from remote_slurm.errors import InvalidRequest
from remote_slurm.service.event_log import EventLog
from remote_slurm.service.kubernetes_api import Cluster
from remote_slurm.service.tracked_pod import TrackedPod
from remote_slurm.site.cooperative import unhurried

# In a burst, the newest Events replace the oldest
_MOST_EVENTS = 5000


class Kubernetes:
    """For the pods of one account. `cluster` is None without credentials."""

    def __init__(self, cluster: Cluster | None, events: EventLog | None = None) -> None:
        """`events` keeps the Events of pods, with credentials and without."""
        self._cluster = cluster
        self._events = events or EventLog()
        self._queue: deque[tuple[Metadata, PodEvent]] = deque(maxlen=_MOST_EVENTS)
        self._queued = asyncio.Event()

    # --- before a job is submitted ---

    async def completed(self, request: CreateRequest, config: Config) -> CreateRequest:
        """Add the ConfigMaps and Secrets that the volumes name and that the request lacks.

        Storage classes of claims are added if paths depend on them. Raises InvalidRequest if Kubernetes no longer has
        the pod.
        """
        if self._cluster is None:
            return request
        pod, sent, export = request.pod.metadata, request.container, config.export_pod_data
        map_names = _missing(_config_maps(request.pod), (each for data in sent for each in data.config_maps))
        secret_names = _missing(_secrets(request.pod), (each for data in sent for each in data.secrets))
        claims = claims_of_unknown_class(request.pod, config.persistent_volume_claims)
        there, maps, secrets, classes = await asyncio.gather(
            self._cluster.has(pod),
            asyncio.gather(*(self._cluster.config_map(name, pod.namespace) for name in map_names if export)),
            asyncio.gather(*(self._cluster.secret(name, pod.namespace) for name in secret_names if export)),
            asyncio.gather(*(self._cluster.storage_class(name, pod.namespace) for name in claims)),
        )
        if not there:
            raise InvalidRequest(
                f"pod {request.pod.full_name} no longer exists in Kubernetes: its job is not submitted"
            )
        found = ContainerData(
            config_maps=tuple(each for each in maps if each), secrets=tuple(each for each in secrets if each)
        )
        known = {claim: name for claim, name in zip(claims, classes, strict=True) if name is not None}
        return request.model_copy(update={"container": (*request.container, found), "storage_classes": known})

    async def is_there(self, tracked: TrackedPod) -> bool | None:
        """Whether Kubernetes has the pod. True if its name is not known yet, None without credentials."""
        if self._cluster is None:
            return None
        metadata = _metadata(tracked)
        return metadata is None or await self._cluster.has(metadata)

    # --- Events ---

    async def notice(self, pods: Iterable[TrackedPod]) -> None:
        """Keep the new Events of the pods, and queue those of pods whose names are known; does not wait for the API."""
        seen = []
        async for tracked in unhurried(pods):
            seen.append(tracked.key)
            metadata = _metadata(tracked)
            if self._cluster is not None and metadata is None:
                continue  # its Events are new once its name is known
            for event in self._events.notice(tracked):
                if self._cluster is not None and metadata is not None:
                    self._queue.append((metadata, event))
                    self._queued.set()
        self._events.keep_only(seen)

    async def run(self) -> None:
        """Create the queued Events, one after another, for ever."""
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue and self._cluster is not None:
                await self._cluster.create_event(*self._queue.popleft())


def _metadata(tracked: TrackedPod) -> Metadata | None:
    """None if only the name of the pod's folder is known yet."""
    namespace, _, name = tracked.name.partition("/")
    found = split_key(tracked.key)
    if not name or found is None or found[0] != namespace:
        return None
    return Metadata(name=name, namespace=namespace, uid=found[1])


def _missing(wanted: Iterable[str], sent: Iterable[ConfigMap] | Iterable[Secret]) -> list[str]:
    """Each once, in order."""
    there = {each.metadata.name for each in sent}
    return [name for name in dict.fromkeys(wanted) if name not in there]


def _projected(pod: Pod) -> Iterator[ProjectedSource]:
    for volume in pod.spec.volumes:
        yield from volume.projected.sources if volume.projected else ()


def _config_maps(pod: Pod) -> Iterator[str]:
    yield from (each.config_map.name for each in pod.spec.volumes if each.config_map)
    yield from (each.config_map.name for each in _projected(pod) if each.config_map)


def _secrets(pod: Pod) -> Iterator[str]:
    yield from (each.secret.secret_name for each in pod.spec.volumes if each.secret)
    yield from (each.secret.name for each in _projected(pod) if each.secret)
    yield from (each.name for each in pod.spec.image_pull_secrets)
