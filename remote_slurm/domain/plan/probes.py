"""Startup, readiness and liveness probes as calls of the runner (job/probes.sh)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from remote_slurm.domain.plan.hooks import action
from remote_slurm.domain.pod.lifecycle import Probe
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.shell import Call
from remote_slurm.errors import InvalidRequest


def probe_calls(container: Container, values: Mapping[str, str]) -> Iterator[Call]:
    """`probe KIND DELAY PERIOD TIMEOUT SUCCESSES FAILURES GRACE ACTION...`; an empty GRACE is the pod's.

    `values` is the container's environment, which words of a command may name as $(NAME), as on a kubelet. Raises
    InvalidRequest for a probe that cannot be carried out.
    """
    for kind, probe in probes(container):
        what = f"{kind}Probe of container '{container.name}'"
        if probe.sleep is not None:
            raise InvalidRequest(f"{what} must be exec, httpGet, tcpSocket or grpc")
        if kind != "readiness" and probe.success_threshold != 1:
            raise InvalidRequest(f"{what} has successThreshold {probe.success_threshold}: it must be 1")
        grace = probe.termination_grace_period_seconds
        yield (
            "probe",
            kind,
            str(probe.initial_delay_seconds),
            str(probe.period_seconds),
            str(probe.timeout_seconds),
            str(probe.success_threshold),
            str(probe.failure_threshold),
            "" if grace is None else str(grace),
            *action(probe, container, what, values),
        )


def probes(container: Container) -> list[tuple[str, Probe]]:
    """Those that the container has, by their kind."""
    every = (
        ("startup", container.startup_probe),
        ("readiness", container.readiness_probe),
        ("liveness", container.liveness_probe),
    )
    return [(kind, probe) for kind, probe in every if probe is not None]
