"""What the sidecar knows of each pod, in memory; the pods' folders at the site are the record of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from remote_slurm.domain.records import Record
from remote_slurm.service.tracked_pod import TrackedPod


def _nothing(_: TrackedPod) -> None:
    pass


class PodStore:
    """All pods that are known, by the name of their folder at the site."""

    def __init__(self) -> None:
        self._tracked: dict[str, TrackedPod] = {}
        self.on_forget: Callable[[TrackedPod], None] = _nothing

    def __iter__(self) -> Iterator[TrackedPod]:
        return iter(list(self._tracked.values()))

    def __len__(self) -> int:
        return len(self._tracked)

    def get(self, pod: str) -> TrackedPod | None:
        return self._tracked.get(pod)

    def add(self, pod: str, name: str = "") -> TrackedPod:
        """Return the pod, and add it if it is not known."""
        tracked = self._tracked.setdefault(pod, TrackedPod(pod))
        tracked.name = name or tracked.name or pod
        return tracked

    def forget(self, pod: str) -> None:
        tracked = self._tracked.pop(pod, None)
        if tracked is not None:
            self.on_forget(tracked)
            tracked.finished.set()

    def add_records(self, records: Iterable[Record]) -> None:
        for record in records:
            tracked = self._tracked.get(record.pod)
            if tracked is not None:
                tracked.add_record(record)
