"""Startup, readiness and liveness probes as calls of the runner (job/probes.sh)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from remote_slurm.domain.plan.hooks import action
from remote_slurm.domain.pod.lifecycle import Probe
from remote_slurm.domain.pod.model import Container
from remote_slurm.domain.shell import Call
from remote_slurm.errors import InvalidRequest


def probe_calls(container: Container, values: Mapping[str, str]) -> Iterator[Call]:
    """`probe KIND delay= period= timeout= successes= failures= grace= ACTION...`; an empty grace is the pod's.

    `values` is the container's environment, which words of a command may name as $(NAME), as on a kubelet. Raises
    InvalidRequest for a probe that cannot be carried out.
    """
    for kind, probe in probes(container):
        what = f"{kind}Probe of container '{container.name}'"
        if probe.sleep is not None:
            raise InvalidRequest(f"{what} must be exec, httpGet, tcpSocket or grpc")
        if kind != "readiness" and probe.success_threshold != 1:
            raise InvalidRequest(f"invalid successThreshold {probe.success_threshold} of {what}: must be 1")
        grace = probe.termination_grace_period_seconds
        yield (
            "probe",
            kind,
            f"delay={probe.initial_delay_seconds}",
            f"period={probe.period_seconds}",
            f"timeout={probe.timeout_seconds}",
            f"successes={probe.success_threshold}",
            f"failures={probe.failure_threshold}",
            "grace=" if grace is None else f"grace={grace}",
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
