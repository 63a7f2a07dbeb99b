"""What Kubernetes is asked and told about pods, where the configuration has credentials for it.

A request that lacks a ConfigMap, a Secret or the storage class of a claim gets it; a pod that is not there any more is
not submitted; and each turn of a pod's job becomes an Event, so that `kubectl describe pod` tells the story.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

from remote_slurm.config import Config
from remote_slurm.domain.bulletins import Bulletin, bulletins
from remote_slurm.domain.claims import claims_of_unknown_class
from remote_slurm.domain.pod import ConfigMap, ContainerData, CreateRequest, Metadata, Pod, ProjectedSource, Secret
from remote_slurm.errors import Rejected
from remote_slurm.remote.cluster import Cluster
from remote_slurm.service.entries import Entry

# Of a burst, the newest are worth more than the oldest
_MOST_EVENTS = 5000


class Kubernetes:
    """For pods of one account; `cluster` is None where nothing is to be asked or told."""

    def __init__(self, cluster: Cluster | None) -> None:
        self._cluster = cluster
        self._told: dict[str, set[str]] = {}
        self._open: deque[tuple[Metadata, Bulletin]] = deque(maxlen=_MOST_EVENTS)
        self._news = asyncio.Event()

    # --- before a job is submitted ---

    async def completed(self, request: CreateRequest, config: Config) -> CreateRequest:
        """With the ConfigMaps and Secrets that its volumes name and that did not come with it.

        And with the storage classes of claims, where their paths depend on them.

        Raises Rejected where Kubernetes has no such pod any more.
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
            raise Rejected(f"pod {request.pod.full_name} is not in Kubernetes any more, so its job is not submitted")
        found = ContainerData(
            config_maps=tuple(each for each in maps if each), secrets=tuple(each for each in secrets if each)
        )
        known = {claim: name for claim, name in zip(claims, classes, strict=True) if name is not None}
        return request.model_copy(update={"container": (*request.container, found), "storage_classes": known})

    # --- as jobs go their way ---

    def notice(self, entries: Iterable[Entry]) -> None:
        """Put what is new about them in line; does not wait."""
        if self._cluster is None:
            return
        told, self._told = self._told, {}
        for entry in entries:
            self._told[entry.pod] = told.get(entry.pod, set())
            metadata = _metadata(entry)
            if metadata is not None:
                self._notice(entry, metadata)

    def _notice(self, entry: Entry, metadata: Metadata) -> None:
        told = self._told[entry.pod]
        for bulletin in bulletins(entry.view()):
            if bulletin.key not in told:
                told.add(bulletin.key)
                self._open.append((metadata, bulletin))
                self._news.set()

    async def run(self) -> None:
        """Tell one after another, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._open and self._cluster is not None:
                await self._cluster.tell(*self._open.popleft())


def _metadata(entry: Entry) -> Metadata | None:
    """None where only the name of the pod's folder is known yet."""
    namespace, slash, name = entry.name.partition("/")
    uid = entry.pod.removeprefix(f"{namespace}-")
    return Metadata(name=name, namespace=namespace, uid=uid) if slash and uid != entry.pod else None


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
