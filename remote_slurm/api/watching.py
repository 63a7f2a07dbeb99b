"""The observers of a sidecar: recent log lines, metrics and traces. All are optional."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp.typedefs import Middleware

from remote_slurm.api.metrics import Metrics
from remote_slurm.log import Recent
from remote_slurm.ssh.observer import Observer, Observers

if TYPE_CHECKING:
    from remote_slurm.api.tracing import Tracing  # needs packages that may not be there


@dataclass(frozen=True, slots=True)
class Watching:
    """`recent` is what failed lately, for the page."""

    recent: Recent = field(default_factory=Recent)
    metrics: Metrics | None = None
    tracing: Tracing | None = None

    @property
    def observer(self) -> Observer:
        """The receivers of events at the site: metrics and traces."""
        return Observers([each for each in (self.metrics, self.tracing) if each])

    @property
    def middlewares(self) -> Iterator[Middleware]:
        """What every request goes through first."""
        if self.metrics:
            yield self.metrics.measure
        if self.tracing:
            yield self.tracing.trace
